//! A whole server without sockets, over a fake backend, with short helpers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use gateway::compute::Pool;
use gateway::store::{Action, Index, ObjectKey, ResourceId, StoreConfig, WriteOp, WriteOutcome};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::in_process::{InProcess, Options, whole};

/// First revision of the fake.
const BASE: u64 = 1 << 40;
/// More changes than any test makes.
const CHANGES: u64 = 100;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

pub(crate) struct TestServer {
    pub(crate) fake: Fake,
    pub(crate) compute: Pool,
    process: InProcess,
}

/// A complete response. Revisions are shown as `r1`, `r2`, …
pub(crate) struct TestResponse {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// The received body.
    pub(crate) raw: Bytes,
}

/// An open watch.
pub(crate) struct Watch(Body, String);

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::with(StoreConfig::default()).await
    }

    pub(crate) async fn with(store: StoreConfig) -> Self {
        let fake = Fake::new();
        let options = Options {
            store,
            ..Options::default()
        };
        let process = InProcess::loaded(&fake.endpoint(), "reads/kinds.yaml", options).await;
        Self {
            fake,
            compute: process.admin.compute().clone(),
            process,
        }
    }

    /// Things `a/0`, `a/1`, … of alternating teams.
    pub(crate) async fn of_things(count: usize) -> Self {
        let server = Self::new().await;
        for at in 0..count {
            let team = ["red", "blue"][at % 2];
            let labels = json!({ "team": team });
            let key = format!("a/t{at}");
            server
                .put(&key, &labels, &json!({"size": at, "color": team}))
                .await;
        }
        server
    }

    /// Creates or replaces a thing.
    pub(crate) async fn put(&self, key: &str, labels: &Value, spec: &Value) {
        let (namespace, name) = key.split_once('/').expect("namespace/name");
        let thing = json!({
            "apiVersion": "example.com/v1",
            "kind": "Thing",
            "metadata": {
                "name": name, "namespace": namespace, "labels": labels, "uid": format!("u-{name}"),
                "creationTimestamp": "2020-01-01T00:00:00Z", "generation": 1,
            },
            "spec": spec,
            "status": {"replicas": 2, "selector": "app=x"},
        });
        self.store(key, &thing).await;
    }

    /// Stores a thing unchanged.
    pub(crate) async fn store(&self, key: &str, thing: &Value) {
        let (value, index) = (Bytes::from(kube_json::to_vec(thing)), Index::default());
        let create = Action::Create {
            value: value.clone(),
            index: index.clone(),
        };
        if let WriteOutcome::Conflict { .. } = self.write(key, create).await {
            self.write(key, Action::Update { value, index }).await;
        }
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.write(key, Action::Delete).await;
    }

    async fn write(&self, key: &str, action: Action) -> WriteOutcome {
        let (namespace, name) = key.split_once('/').expect("namespace/name");
        let op = WriteOp {
            resource: ResourceId::new("example.com", "things"),
            key: ObjectKey::new(namespace, name),
            action,
            expected: None,
            origin: Arc::default(),
        };
        let store = &self.process.admin.stack.inner.store;
        store.write(op).await.expect("written")
    }

    /// `METHOD path`, relative to the group's first version unless it starts with a slash.
    pub(crate) async fn request(&self, request: &str, accept: &str) -> Response<Body> {
        let (method, url) = request.split_once(' ').expect("method and path");
        let url = match url.strip_prefix('/') {
            Some(_) => url.to_owned(),
            None => format!("/apis/example.com/v1/namespaces/a/{url}"),
        };
        let (accept, headers) = accept.split_once('|').unwrap_or((accept, ""));
        let mut request = Request::builder().method(method).uri(&url);
        if !accept.is_empty() {
            let accept = if accept == "table" { TABLE } else { accept };
            request = request.header("Accept", accept);
        }
        for header in headers.split('|').filter(|header| !header.is_empty()) {
            let (name, value) = header.split_once(": ").expect("a header");
            request = request.header(name, value);
        }
        let request = request.body(Body::empty()).expect("a request");
        self.process.admin.send(request).await
    }

    pub(crate) async fn response(&self, request: &str, accept: &str) -> TestResponse {
        let response = tokio::time::timeout(Duration::from_secs(10), async {
            let (head, body) = self.request(request, accept).await.into_parts();
            let body = whole(body).await;
            TestResponse {
                code: head.status.as_u16(),
                headers: head.headers,
                body: ranked(&String::from_utf8_lossy(&body)),
                raw: body,
            }
        });
        response.await.expect("a response in time")
    }

    pub(crate) async fn watch(&self, url: &str, accept: &str) -> Watch {
        let response = self.request(&format!("GET {url}"), accept).await;
        assert_eq!(response.status(), 200, "{url}");
        assert_eq!(response.headers()["content-type"], "application/json");
        Watch(response.into_body(), String::new())
    }

    /// One line per name, in the order of the list.
    pub(crate) async fn names(&self, url: &str) -> Vec<String> {
        let response = self.response(&format!("GET {url}"), "").await;
        assert_eq!(response.code, 200, "{url}: {}", response.body);
        let list: Value = serde_json::from_str(&response.body).expect("JSON");
        let items = list["items"].as_array().expect("items");
        let name = |item: &Value| {
            item["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned()
        };
        items.iter().map(name).collect()
    }
}

impl Watch {
    /// The next event as text.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.1.split_once('\n') {
                let line = ranked(line);
                self.1 = rest.to_owned();
                return Some(line);
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.0.frame());
            let data = frame.await.expect("in time")?.expect("no error");
            let data = data.into_data().expect("no trailers");
            self.1.push_str(std::str::from_utf8(&data).expect("text"));
        }
    }

    /// The next events: type, name and size, or the content of an event without them.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        while events.len() < count {
            let line = self.line().await.expect("not ended");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            let (kind, object) = (event["type"].as_str().expect("a type"), &event["object"]);
            let about = match object["metadata"]["name"].as_str() {
                Some(name) => format!("{name} {}", object["spec"]["size"]),
                None => match object["message"].as_str() {
                    Some(message) => message.to_owned(),
                    None => object["metadata"].to_string(),
                },
            };
            events.push(format!("{kind} {about}"));
        }
        events
    }
}

/// Revisions relative to the first of the store.
fn ranked(text: &str) -> String {
    let mut text = text.to_owned();
    for rank in 0..CHANGES {
        text = text.replace(&(BASE + rank).to_string(), &format!("r{rank}"));
    }
    text
}

/// A revision as clients send it.
pub(crate) fn revision(rank: u64) -> String {
    (BASE + rank).to_string()
}
