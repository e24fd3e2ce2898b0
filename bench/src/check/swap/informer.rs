//! An informer: one list, then watches, each from the last revision of the one before.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::route::{Call, Route, Servers, is_retryable, retry_after};
use super::writer::Change;
use crate::client::{FullResponse, describe};
use crate::objects::ALL;

/// Objects in a page of a list.
const PAGE: usize = 1000;
/// Timeout of each watch, short so that many are resumed.
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Objects by name: revision, and hash of the JSON.
pub(super) type Snapshot = HashMap<String, (u64, u64)>;

#[derive(Clone, Debug)]
pub(super) struct ReceivedEvent {
    pub(super) name: String,
    pub(super) change: Change,
    pub(super) revision: u64,
}

pub(super) struct Informer {
    route: Route,
    pub(super) snapshot: Snapshot,
    pub(super) received: Vec<ReceivedEvent>,
    /// Number of watches.
    pub(super) watches: usize,
    /// Revision of the last event or bookmark.
    reached: Arc<AtomicU64>,
}

#[derive(Deserialize)]
struct List<'a> {
    metadata: Page,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

#[derive(Deserialize)]
struct Frame<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    resource_version: String,
}

/// Lists all pages; returns the objects and the revision of the list.
pub(super) async fn list(route: &mut Route) -> Result<(Snapshot, u64)> {
    let mut snapshot = Snapshot::new();
    let mut path = format!("{ALL}?limit={PAGE}");
    loop {
        let final_response = route.send_until_final(&get(&path)).await?;
        let FullResponse { status, body } = &final_response.response;
        let describe_response = || describe(&final_response.response);
        ensure!(*status == StatusCode::OK, "list: {}", describe_response());
        let list: List<'_> = serde_json::from_slice(body)?;
        for item in list.items {
            let (name, state) = read(item)?;
            let previous = snapshot.insert(name, state);
            ensure!(previous.is_none(), "a list contains an object twice");
        }
        if list.metadata.r#continue.is_empty() {
            return Ok((snapshot, list.metadata.resource_version.parse()?));
        }
        path = format!("{ALL}?limit={PAGE}&continue={}", list.metadata.r#continue);
    }
}

impl Informer {
    /// Lists. `reached` publishes the revision of the last event.
    pub(super) async fn list(servers: &Arc<Servers>, reached: &Arc<AtomicU64>) -> Result<Self> {
        let mut route = Route::new(servers);
        let (snapshot, revision) = list(&mut route).await?;
        reached.store(revision, Ordering::Release);
        Ok(Self {
            route,
            snapshot,
            received: Vec::new(),
            watches: 0,
            reached: Arc::clone(reached),
        })
    }

    /// Watches until `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<Self> {
        while !stop.is_cancelled() {
            let revision = self.reached.load(Ordering::Acquire);
            let path = format!(
                "{ALL}?watch=true&allowWatchBookmarks=true&resourceVersion={revision}&timeoutSeconds={}",
                WATCH_TIMEOUT.as_secs()
            );
            let call = get(&path);
            let Some(response) = self.route.open(&call).await else {
                continue;
            };
            if response.status() == StatusCode::OK {
                self.watches += 1;
                self.follow(response.into_body(), &stop).await?;
                continue;
            }
            let pause = retry_after(&response);
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            let response = FullResponse { status, body };
            ensure!(is_retryable(status), "watch: {}", describe(&response));
            self.route.record(&call, &response, pause);
            self.route.switch_server();
            sleep(pause.unwrap_or(Duration::from_secs(1))).await;
        }
        Ok(self)
    }

    /// Reads one watch until it ends or fails.
    async fn follow(&mut self, mut body: Incoming, stop: &CancellationToken) -> Result<()> {
        let mut rest = BytesMut::new();
        while !stop.is_cancelled() {
            let Ok(Some(Ok(frame))) = timeout(WATCH_TIMEOUT * 2, body.frame()).await else {
                return Ok(());
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            rest.extend_from_slice(&data);
            while let Some(end) = memchr::memchr(b'\n', &rest) {
                let line = rest.split_to(end + 1);
                self.take(&line)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<()> {
        let frame: Frame<'_> = serde_json::from_slice(line)?;
        let change = match frame.r#type {
            "ADDED" => Change::Created,
            "MODIFIED" => Change::Updated,
            "DELETED" => Change::Deleted,
            "BOOKMARK" => {
                let (_, (revision, _)) = read(frame.object)?;
                self.reached.fetch_max(revision, Ordering::AcqRel);
                return Ok(());
            }
            _ => bail!("watch error: {}", frame.object),
        };
        let (name, (revision, hash)) = read(frame.object)?;
        let before = self.reached.swap(revision, Ordering::AcqRel);
        ensure!(
            revision > before,
            "event of revision {revision} after {before}: repeated or out of order"
        );
        let known = match change {
            Change::Created | Change::Updated => {
                self.snapshot.insert(name.clone(), (revision, hash))
            }
            Change::Deleted => self.snapshot.remove(&name),
        };
        let fits = known.is_some() != (change == Change::Created);
        ensure!(fits, "{name}: unexpected {change:?} at revision {revision}");
        self.received.push(ReceivedEvent {
            name,
            change,
            revision,
        });
        Ok(())
    }
}

fn get(path: &str) -> Call<'_> {
    Call {
        method: Method::GET,
        path,
        kind: "application/json",
        body: Bytes::new(),
    }
}

fn read(raw: &RawValue) -> Result<(String, (u64, u64))> {
    let object: Object = serde_json::from_str(raw.get()).context("malformed object")?;
    let Metadata {
        name,
        resource_version,
    } = object.metadata;
    let mut hasher = DefaultHasher::new();
    raw.get().hash(&mut hasher);
    Ok((name, (resource_version.parse()?, hasher.finish())))
}
