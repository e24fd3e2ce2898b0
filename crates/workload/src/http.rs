//! Clients of a workload over the Kubernetes API: Queries of Ark in one namespace.
//!
//! The number of a write is in the spec of creations and replacements, and in the status of
//! patches. It grows with each write of a key, so that the greater one is that of the last write.

mod object;

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use self::object::{Line, Page, content, describe};
use crate::change::{Event, Key, Listing, Object, Revision};
use crate::client::{Action, Applied, Batch, CallError, Head, Watch, Write};

/// Deadline of a request with its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Objects in a page of a list.
const PAGE: usize = 1000;
/// Path of the Queries of all namespaces.
const GROUP: &str = "/apis/ark.mckinsey.com/v1alpha1";

/// Collection and size of the objects.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of all objects.
    pub namespace: String,
    /// Bytes of text in each object that writers create.
    pub filler: usize,
    /// Time after which the server ends a watch in order.
    pub watch_timeout: Duration,
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    server: kube_http::Client,
    settings: Settings,
    collection: String,
}

/// An open watch.
struct HttpWatch {
    body: Incoming,
    /// Received bytes without a complete line.
    rest: BytesMut,
    position: Revision,
    /// Longest time without any bytes.
    silence: Duration,
}

// === impl Client ===

impl Client {
    /// Creates a client that connects on its first call.
    #[must_use]
    pub fn new(server: kube_http::Client, settings: Settings) -> Self {
        Self {
            collection: format!("{GROUP}/namespaces/{}/queries", settings.namespace),
            server,
            settings,
        }
    }

    fn path(&self, key: &Key) -> String {
        format!("{}/{key}", self.collection)
    }

    async fn open(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, CallError> {
        let headers = [
            ("accept".to_owned(), "application/json".to_owned()),
            ("content-type".to_owned(), content_type.to_owned()),
        ];
        let sent = self.server.send(method, path, &headers, body).await;
        sent.map_err(|error| CallError::Broken(error.to_string()))
    }

    /// Sends a request; returns the body of a successful response.
    async fn call(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let whole = async {
            let response = self.open(method, path, content_type, body).await?;
            let status = response.status().as_u16();
            let after = retry_after(&response);
            let body = response.into_body().collect().await;
            let body = body.map_err(|error| CallError::Broken(error.to_string()))?;
            success(status, after, body.to_bytes())
        };
        let timed_out = |_| CallError::Broken(format!("no response within {REQUEST_TIMEOUT:?}"));
        timeout(REQUEST_TIMEOUT, whole).await.map_err(timed_out)?
    }

    async fn get(&self, path: &str) -> Result<Bytes, CallError> {
        self.call("GET", path, JSON, Bytes::new()).await
    }

    async fn write_one(&self, write: &Write) -> Result<Applied, CallError> {
        let (path, body) = (self.path(&write.key), content(write, self.settings.filler));
        let (method, path, kind) = match write.action {
            Action::Create => ("POST", self.collection.clone(), JSON),
            Action::Replace(_) => ("PUT", path, JSON),
            Action::Patch(_) => ("PATCH", format!("{path}/status"), MERGE),
            Action::Delete(_) => ("DELETE", path, JSON),
        };
        let body = self.call(method, &path, kind, body).await?;
        if matches!(write.action, Action::Delete(_)) {
            return Ok(Applied::default());
        }
        let (_, stored) = object::read(&body)?;
        Ok(Applied {
            revision: Some(stored.revision),
            digest: Some(stored.digest),
            ..Applied::default()
        })
    }
}

#[async_trait]
impl crate::Client for Client {
    async fn write(&self, writes: &[Write]) -> Result<Vec<Result<Applied, CallError>>, CallError> {
        let mut results = Vec::with_capacity(writes.len());
        for write in writes {
            results.push(self.write_one(write).await);
        }
        Ok(results)
    }

    async fn read(&self, key: &Key) -> Result<Option<Object>, CallError> {
        match self.get(&self.path(key)).await {
            Ok(body) => Ok(Some(object::read(&body)?.1)),
            // The status of an absent object, which for writes is a conflict.
            Err(CallError::Conflict(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self) -> Result<Listing, CallError> {
        let mut listing = Listing::default();
        let first = format!("{}?limit={PAGE}", self.collection);
        let mut path = first.clone();
        loop {
            let body = self.get(&path).await?;
            let page = Page::read(&body)?;
            for (key, object) in page.objects {
                if listing.objects.insert(key.clone(), object).is_some() {
                    let text = format!("a list contains {key} twice");
                    return Err(CallError::Violation(text));
                }
            }
            listing.revision = page.revision;
            let Some(token) = page.token else {
                return Ok(listing);
            };
            path = format!("{first}&continue={token}");
        }
    }

    async fn head(&self) -> Result<Head, CallError> {
        let body = self.get(&format!("{}?limit=1", self.collection)).await?;
        Ok(Head {
            revision: Page::read(&body)?.revision,
            epoch: None,
        })
    }

    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>, CallError> {
        let seconds = self.settings.watch_timeout.as_secs();
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&resourceVersion={after}&timeoutSeconds={seconds}",
            self.collection
        );
        let opening = self.open("GET", &path, JSON, Bytes::new());
        let timed_out = |_| CallError::Broken(format!("no response within {REQUEST_TIMEOUT:?}"));
        let response = timeout(REQUEST_TIMEOUT, opening)
            .await
            .map_err(timed_out)??;
        if response.status().as_u16() != 200 {
            let (status, after) = (response.status().as_u16(), retry_after(&response));
            let body = timeout(REQUEST_TIMEOUT, response.into_body().collect()).await;
            let body = body.map_err(timed_out)?;
            let body = body.map_err(|error| CallError::Broken(error.to_string()))?;
            success(status, after, body.to_bytes())?;
            let text = format!("a watch got the status {status}");
            return Err(CallError::Violation(text));
        }
        Ok(Box::new(HttpWatch {
            body: response.into_body(),
            rest: BytesMut::new(),
            position: after,
            silence: self.settings.watch_timeout * 2,
        }))
    }
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

// === impl HttpWatch ===

#[async_trait]
impl Watch for HttpWatch {
    async fn next(&mut self) -> Result<Batch, CallError> {
        let deadline = Instant::now() + self.silence;
        loop {
            let (events, moved) = self.complete_lines()?;
            if moved {
                return Ok(Batch {
                    events,
                    up_to_revision: self.position,
                });
            }
            let frame = tokio::time::timeout_at(deadline, self.body.frame()).await;
            let silent = |_| CallError::Broken(format!("no bytes within {:?}", self.silence));
            let Some(frame) = frame.map_err(silent)? else {
                return Err(CallError::Ended);
            };
            let frame = frame.map_err(|error| CallError::Broken(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }
}

impl HttpWatch {
    /// Reads the complete lines; returns the events, and whether there was any line. An error after
    /// events is returned by the next call.
    fn complete_lines(&mut self) -> Result<(Vec<Event>, bool), CallError> {
        let (mut events, mut moved) = (Vec::new(), false);
        while let Some(end) = memchr::memchr(b'\n', &self.rest) {
            match Line::read(&self.rest[..end])? {
                Line::Event(event) => {
                    self.position = self.position.max(event.revision);
                    events.push(event);
                }
                Line::Bookmark(revision) => self.position = self.position.max(revision),
                Line::Error(_) if moved => break,
                Line::Error(error) => return Err(error),
            }
            moved = true;
            let _ = self.rest.split_to(end + 1);
        }
        Ok((events, moved))
    }
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// The body of a response with this status, or the error that it means.
fn success(status: u16, after: Option<Duration>, body: Bytes) -> Result<Bytes, CallError> {
    let text = || format!("{status} {}", describe(&body));
    match status {
        200 | 201 => Ok(body),
        404 | 409 => Err(CallError::Conflict(text())),
        _ => Err(object::error(u64::from(status), describe(&body), after)),
    }
}
