//! A whole server without sockets, over a fake backend, with short helpers.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use gateway::admission::Chain;
use gateway::compute::Pool;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fake::Fake;
use crate::in_process::{Admin, InProcess, Options, whole};

/// Upper bound for every step here.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct TestServer {
    pub(crate) fake: Fake,
    pub(crate) server: Server,
    pub(crate) compute: Pool,
    running: Running,
}

/// A server and its background tasks.
pub(crate) struct Running {
    server: Server,
    process: InProcess,
}

/// Sends requests for things in the namespace `a`.
#[derive(Clone)]
pub(crate) struct Server(Admin);

/// A complete response.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A request in flight.
pub(crate) struct Started(JoinSet<TestResponse>);

/// An open watch.
pub(crate) struct Watch(Body, Vec<u8>);

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::over(Fake::new()).await
    }

    /// With a thing `x` of size 1.
    pub(crate) async fn of_x() -> Self {
        let test_server = Self::new().await;
        test_server
            .request("POST things", thing("x", 1))
            .await
            .expect(201);
        test_server
    }

    async fn over(fake: Fake) -> Self {
        let running = Running::over(&fake).await;
        Self::of(fake, running)
    }

    /// With steps of admission.
    pub(crate) async fn admitting(chain: Chain) -> Self {
        let fake = Fake::new();
        let running = Running::at(&fake.endpoint(), chain).await;
        Self::of(fake, running)
    }

    fn of(fake: Fake, running: Running) -> Self {
        Self {
            fake,
            server: running.server.clone(),
            compute: running.server.0.compute().clone(),
            running,
        }
    }

    /// One more server over the same backend.
    pub(crate) async fn another(&self) -> Running {
        Running::over(&self.fake).await
    }

    /// Replaces the server by a new one over the same backend.
    pub(crate) async fn restart(self) -> Self {
        self.running.process.stop().await;
        Self::over(self.fake).await
    }

    pub(crate) async fn request(&self, line: &str, body: impl Into<Bytes>) -> TestResponse {
        self.server.request(line, body).await
    }

    /// Starts a request in a task.
    pub(crate) fn start(&self, line: &'static str, body: impl Into<Bytes>) -> Started {
        let (server, body) = (self.server.clone(), body.into());
        let mut started = JoinSet::new();
        started.spawn(async move { server.request(line, body).await });
        Started(started)
    }

    /// Reads the thing `x`.
    pub(crate) async fn x(&self) -> Value {
        self.request("GET things/x", "").await.expect(200)
    }

    /// Waits for a state of the fake.
    pub(crate) async fn until(&self, what: &str, mut shows: impl FnMut(&Fake) -> bool) {
        let deadline = tokio::time::Instant::now() + SOON;
        while !shows(&self.fake) {
            assert!(tokio::time::Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Running {
    pub(crate) const fn server(&self) -> &Server {
        &self.server
    }

    async fn over(fake: &Fake) -> Self {
        Self::at(&fake.endpoint(), Chain::default()).await
    }

    /// A server over the driver at an endpoint.
    pub(crate) async fn at(endpoint: &str, admission: Chain) -> Self {
        let options = Options {
            admission,
            ..Options::default()
        };
        let process = InProcess::loaded(endpoint, "writes/kinds.yaml", options).await;
        Self {
            server: Server(process.admin.clone()),
            process,
        }
    }
}

impl Server {
    /// `METHOD path` relative to the namespace `a`; MERGE, JSON and APPLY are patch types.
    pub(crate) async fn send(&self, line: &str, body: impl Into<Bytes>) -> Response<Body> {
        self.send_as("test", line, body).await
    }

    /// As [`Self::send`], with an `Audit-ID`.
    pub(crate) async fn send_as(
        &self,
        audit_id: &str,
        line: &str,
        body: impl Into<Bytes>,
    ) -> Response<Body> {
        let (method, path) = line.split_once(' ').expect("method and path");
        let (method, content_type) = match method {
            "MERGE" => ("PATCH", "application/merge-patch+json"),
            "JSON" => ("PATCH", "application/json-patch+json"),
            "APPLY" => ("PATCH", "application/apply-patch+yaml"),
            method => (method, "application/json"),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("/apis/example.com/v1/namespaces/a/{path}"))
            .header("Content-Type", content_type)
            .header("Audit-ID", audit_id)
            .body(Body::from(body.into()))
            .expect("a request");
        self.0.send(request).await
    }

    pub(crate) async fn request(&self, line: &str, body: impl Into<Bytes>) -> TestResponse {
        let response = async {
            let (head, body) = self.send(line, body).await.into_parts();
            TestResponse {
                code: head.status.as_u16(),
                headers: head.headers,
                body: whole(body).await,
            }
        };
        let response = tokio::time::timeout(SOON, response).await;
        response.unwrap_or_else(|_| panic!("no response before the deadline: {line}"))
    }

    pub(crate) async fn watch(&self, path: &str) -> Watch {
        let response = self.send(&format!("GET {path}"), "").await;
        assert_eq!(response.status(), 200, "{path}");
        Watch(response.into_body(), Vec::new())
    }
}

impl Started {
    pub(crate) async fn response(mut self) -> TestResponse {
        let finished = self.0.join_next().await.expect("one request");
        finished.expect("no panic")
    }

    pub(crate) fn has_response(&mut self) -> bool {
        futures_util::FutureExt::now_or_never(self.0.join_next()).is_some()
    }

    /// Disconnects the client.
    pub(crate) async fn leave(mut self) {
        self.0.shutdown().await;
    }
}

impl TestResponse {
    /// The body; fails if the status code is another one.
    #[track_caller]
    pub(crate) fn expect(&self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text());
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn retry_after(&self) -> Option<&str> {
        self.headers.get("retry-after")?.to_str().ok()
    }
}

impl Watch {
    /// The next event as text.
    pub(crate) async fn line(&mut self) -> Vec<u8> {
        loop {
            if let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                let rest = self.1.split_off(end + 1);
                return std::mem::replace(&mut self.1, rest);
            }
            let frame = tokio::time::timeout(SOON, self.0.frame()).await;
            let frame = frame.expect("in time").expect("not ended").expect("sent");
            self.1.extend_from_slice(&frame.into_data().expect("data"));
        }
    }

    pub(crate) async fn event(&mut self) -> Value {
        serde_json::from_slice(&self.line().await).expect("JSON")
    }
}

/// A thing as clients write it.
pub(crate) fn thing(name: &str, size: u64) -> String {
    let spec = json!({"size": size, "replicas": 1});
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec})
        .to_string()
}

/// `metadata.resourceVersion`.
pub(crate) fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"]
        .as_str()
        .expect("a version")
}

/// An object with another value at a pointer.
pub(crate) fn with(object: &Value, pointer: &str, value: impl Into<Value>) -> String {
    let mut object = object.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(parent).expect("a parent")[key] = value.into();
    object.to_string()
}
