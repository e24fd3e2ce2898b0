//! A client with a local copy, as controllers have, and a record of every version that any client
//! observed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::version;
use crate::client::Client;
use crate::program::{DEADLINE, eventually};

const RETRY: Duration = Duration::from_millis(50);

/// A new epoch starts at 4096 times the clock in milliseconds: farther above the last epoch's
/// newest revision than the number of revisions that these tests write.
pub(super) const EPOCH_GAP: u64 = 1 << 17;

/// The object and content that each resource version was observed to identify, over all clients.
#[derive(Clone, Default)]
pub(super) struct ObservedVersions(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    objects: BTreeMap<u64, Value>,
    acknowledged: Vec<u64>,
    problems: Vec<String>,
}

impl ObservedVersions {
    pub(super) fn acknowledged(&self, object: &Value) {
        self.object(object);
        self.0.lock().acknowledged.push(version(object));
    }

    pub(super) fn problem(&self, problem: String) {
        self.0.lock().problems.push(problem);
    }

    fn object(&self, object: &Value) {
        let (mut book, at) = (self.0.lock(), version(object));
        let known = book.objects.entry(at).or_insert_with(|| object.clone());
        if known["metadata"] != object["metadata"] || known["spec"] != object["spec"] {
            let problem = format!("{at} is {known} and {object}");
            book.problems.push(problem);
        }
    }

    fn count(&self) -> usize {
        self.0.lock().acknowledged.len()
    }

    /// Waits for `writes` more acknowledged writes.
    pub(super) async fn more(&self, writes: usize) {
        let due = self.count() + writes;
        eventually("writes go on", DEADLINE, async || self.count() >= due).await;
    }

    /// Waits for an acknowledged write in an epoch after that of a version.
    pub(super) async fn epoch_after(&self, old: u64) {
        eventually("writes in a new epoch", DEADLINE, async || {
            let newest = self.0.lock().acknowledged.last().copied();
            newest.is_some_and(|newest| newest > old + EPOCH_GAP)
        })
        .await;
    }

    /// Fails if one version identified two states, or a version exceeds the newest.
    pub(super) fn check(&self, newest: u64) {
        let book = self.0.lock();
        let count = book.problems.len();
        assert!(count == 0, "{count}: {:#?}", &book.problems[..count.min(3)]);
        let highest = book.objects.last_key_value().unwrap().0;
        assert!(*highest <= newest, "{highest} was seen, now is {newest}");
    }
}

/// A local copy of a collection.
pub(super) struct Informer {
    client: Client,
    path: String,
    observed: ObservedVersions,
    objects: BTreeMap<String, Value>,
    cursor: u64,
    lists: usize,
}

impl Informer {
    pub(super) fn new(client: &Client, path: &str, observed: &ObservedVersions) -> Self {
        Self {
            client: client.clone(),
            path: path.to_owned(),
            observed: observed.clone(),
            objects: BTreeMap::new(),
            cursor: 0,
            lists: 0,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            if self.cursor == 0 {
                self.list().await;
            } else if let Some(true) = stop.run_until_cancelled(self.watch()).await {
                self.cursor = 0;
            }
        }
        self
    }

    async fn list(&mut self) {
        let (status, body) = self.client.get(&self.path).await;
        if status != StatusCode::OK {
            tokio::time::sleep(RETRY).await;
            return;
        }
        let list: Value = serde_json::from_str(&body).unwrap();
        self.lists += 1;
        self.cursor = version(&list);
        self.objects.clear();
        for item in list["items"].as_array().unwrap() {
            self.keep(item);
        }
    }

    fn keep(&mut self, object: &Value) {
        self.observed.object(object);
        let name = object["metadata"]["name"].as_str().unwrap();
        self.objects.insert(name.to_owned(), object.clone());
    }

    /// Follows the cursor to the end of the watch; returns whether a new list is required.
    async fn watch(&mut self) -> bool {
        let path = format!("{}?watch=true&resourceVersion={}", self.path, self.cursor);
        let mut watch = match self.client.try_watch(&path).await {
            Some(Ok(watch)) => watch,
            Some(Err(StatusCode::GONE)) => return true,
            _ => {
                tokio::time::sleep(RETRY).await;
                return false;
            }
        };
        while let Some(event) = watch.event().await {
            if event["type"] == "ERROR" {
                return event["object"]["code"] == 410;
            }
            self.apply(&event);
        }
        false
    }

    fn apply(&mut self, event: &Value) {
        let object = &event["object"];
        let at = version(object);
        if at <= self.cursor || at >= self.cursor + EPOCH_GAP {
            let cursor = self.cursor;
            self.observed
                .problem(format!("{at} after {cursor} in a watch"));
        }
        self.cursor = at;
        let name = object["metadata"]["name"].as_str().unwrap();
        let known = self.objects.contains_key(name);
        match (event["type"].as_str().unwrap(), known) {
            ("ADDED", false) | ("MODIFIED", true) => self.keep(object),
            ("DELETED", true) => {
                self.objects.remove(name);
            }
            (other, known) => {
                let problem = format!("{other} of {name}, which is known: {known}");
                self.observed.problem(problem);
            }
        }
    }

    /// Asserts that the copy, after pending events, equals the list.
    pub(super) async fn matches(mut self, client: &Client, list: &Value) {
        let due: BTreeMap<String, Value> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| {
                let name = item["metadata"]["name"].as_str().unwrap();
                (name.to_owned(), item.clone())
            })
            .collect();
        self.client = client.clone();
        let newest = due.values().map(version).max().unwrap();
        let rest = async {
            while self.cursor < newest {
                let path = format!("{}?watch=true&resourceVersion={}", self.path, self.cursor);
                let mut watch = self.client.watch(&path).await;
                while self.cursor < newest {
                    let event = watch.event().await.unwrap();
                    self.apply(&event);
                }
            }
        };
        tokio::time::timeout(DEADLINE, rest).await.unwrap();
        assert_eq!(self.objects, due);
        assert_eq!(self.lists, 2, "one at the start, one after the fail-over");
        self.observed.check(newest.max(version(list)));
    }
}
