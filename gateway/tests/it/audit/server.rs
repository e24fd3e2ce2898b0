//! A server with an audit log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::fake::Fake;
use crate::in_process::{Admin, InProcess, Options, whole};

/// Upper bound for every step here.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The policy of most tests.
pub(crate) const EVERYTHING: &str = "- level: RequestResponse";

pub(crate) struct Audited {
    pub(crate) admin: Admin,
    process: InProcess,
    pub(crate) folder: tempfile::TempDir,
    _fake: Fake,
}

impl Audited {
    /// A server with the rules of a policy and flags, in which `LOG` is a file of a new folder.
    pub(crate) async fn new(rules: &str, flags: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::within(folder, rules, flags).await
    }

    pub(crate) async fn within(folder: tempfile::TempDir, rules: &str, flags: &str) -> Self {
        let policy = folder.path().join("policy.yaml");
        let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}\n");
        std::fs::write(&policy, text).expect("written");
        let log = folder.path().join("audit.log");
        let flags = flags.replace("LOG", log.to_str().expect("text"));
        let fake = Fake::new();
        let options = Options {
            flags: format!("--audit-policy-file {} {flags}", policy.display()),
            ..Options::default()
        };
        let process = InProcess::loaded(&fake.endpoint(), "writes/kinds.yaml", options).await;
        Self {
            admin: process.admin.clone(),
            process,
            folder,
            _fake: fake,
        }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// `METHOD path`, relative to the namespace `a` unless it starts with a slash. The audit ID is
    /// the line.
    pub(crate) async fn send(&self, line: &str, body: impl Into<Bytes>) -> Response<Body> {
        self.admin.send(request(line, body)).await
    }

    /// The status code and the whole response.
    pub(crate) async fn request(&self, line: &str, body: impl Into<Bytes>) -> (u16, Bytes) {
        let response = async {
            let (head, body) = self.send(line, body).await.into_parts();
            (head.status.as_u16(), whole(body).await)
        };
        timeout(SOON, response).await.expect("a response in time")
    }

    /// Stops the server; all events are in the log then.
    pub(crate) async fn stop(self) -> Vec<Value> {
        let folder = self.folder;
        self.process.stop().await;
        events_of(&folder.path().join("audit.log"))
    }

    /// Stops the server and keeps its folder.
    pub(crate) async fn stop_process(self) -> tempfile::TempDir {
        self.process.stop().await;
        self.folder
    }

    /// The value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.request("GET /metrics", "").await;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {name}"))
            .parse()
            .expect("a number")
    }
}

pub(crate) fn request(line: &str, body: impl Into<Bytes>) -> Request<Body> {
    let (method, path) = line.split_once(' ').expect("method and path");
    let (method, content_type) = match method {
        "MERGE" => ("PATCH", "application/merge-patch+json"),
        "APPLY" => ("PATCH", "application/apply-patch+yaml"),
        method => (method, "application/json"),
    };
    let path = match path.strip_prefix('/') {
        Some(_) => path.to_owned(),
        None => format!("/apis/example.com/v1/namespaces/a/{path}"),
    };
    Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", content_type)
        .header("User-Agent", "test/1")
        .header("Audit-ID", line)
        .body(Body::from(body.into()))
        .expect("a request")
}

/// The events of a log.
pub(crate) fn events_of(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// The event of a request (its line) and a stage; fails if there is not exactly one.
#[track_caller]
pub(crate) fn event<'e>(events: &'e [Value], line: &str, stage: &str) -> &'e Value {
    let mut found = events
        .iter()
        .filter(|event| event["auditID"] == line && event["stage"] == stage);
    let event = found
        .next()
        .unwrap_or_else(|| panic!("no {stage} of {line}: {events:#?}"));
    assert!(found.next().is_none(), "two of {stage} of {line}");
    event
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
