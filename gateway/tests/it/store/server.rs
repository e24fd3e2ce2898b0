//! A store over a fake backend, with short helpers.

use std::sync::Arc;
use std::time::Duration;

use api_types::revision::Revision;
use bytes::Bytes;
use gateway::compute::{Pool, Workers};
use gateway::store::{
    Action, DecodeError, Decoded, Decoder, EventKind, Freshness, Head, Index, Limits, ListAt,
    ListRequest, ObjectKey, Phase, ResourceId, Scope, Store, StoreConfig, StoreError, WatchItem,
    WatchRequest, WatchStart, Watcher, WriteOp, WriteOutcome,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fake::Fake;

pub(crate) struct TestServer {
    pub(crate) fake: Fake,
    pub(crate) store: Store,
    tasks: JoinSet<()>,
    cancel: CancellationToken,
    _workers: Workers,
}

/// Decodes labels, and `spec.color` as a selectable field; objects without a color are red.
pub(crate) struct Things(pub(crate) Vec<ResourceId>);

impl Decoder for Things {
    fn resources(&self) -> Vec<ResourceId> {
        self.0.clone()
    }

    fn decode(&self, _resource: &ResourceId, value: &Bytes) -> Result<Decoded, DecodeError> {
        let mut object: Value =
            serde_json::from_slice(value).map_err(|error| DecodeError(error.to_string()))?;
        let red = object["spec"]["color"].is_null();
        if red {
            object["spec"]["color"] = json!("red");
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = object["metadata"]["labels"].as_object();
        let labels = labels
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text(value)));
        let head = Head {
            uid: text(&object["metadata"]["uid"]),
            labels: labels.collect(),
            fields: vec![("spec.color".to_owned(), text(&object["spec"]["color"]))],
            deleting: object["metadata"]["deletionTimestamp"].is_string(),
        };
        Ok(Decoded {
            head,
            value: red.then(|| object.to_string().into()),
        })
    }
}

pub(crate) fn things() -> ResourceId {
    ResourceId::new("example.com", "things")
}

/// A thing as stored.
pub(crate) fn thing(key: &str, number: u64, team: &str) -> Vec<u8> {
    let (namespace, name) = key.split_once('/').expect("namespace/name");
    json!({
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": name, "namespace": namespace, "labels": {"team": team}, "uid": "u"},
        "spec": {"number": number},
    })
    .to_string()
    .into_bytes()
}

/// `number` of a served thing.
pub(crate) fn number(bytes: &Bytes) -> u64 {
    let object: Value = serde_json::from_slice(bytes).expect("served JSON");
    object["spec"]["number"].as_u64().expect("a number")
}

pub(crate) fn revision(number: u64) -> Revision {
    Revision::new(number).expect("a revision")
}

pub(crate) fn latest() -> ListRequest {
    let at = ListAt::Fresh(Freshness::Latest);
    ListRequest {
        scope: Scope::All,
        at,
        paged: false,
    }
}

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::over(Fake::new(), StoreConfig::default()).await
    }

    pub(crate) async fn small(history: usize) -> Self {
        let limits = Limits {
            history,
            total: usize::MAX,
        };
        Self::over(
            Fake::new(),
            StoreConfig {
                limits,
                ..StoreConfig::default()
            },
        )
        .await
    }

    pub(crate) async fn over(fake: Fake, config: StoreConfig) -> Self {
        let server = Self::start(fake, config);
        server.until(|phase| *phase == Phase::Ready).await;
        server
    }

    /// Starts a store that may not be ready yet.
    pub(crate) fn start(fake: Fake, config: StoreConfig) -> Self {
        let endpoint = fake.endpoint().parse().expect("an endpoint");
        let (compute, workers) = Pool::start(1).expect("threads");
        let decoder = Arc::new(Things(vec![things()]));
        let (store, task) = Store::new(&endpoint, decoder, config, compute);
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(task.run(cancel.clone()));
        Self {
            fake,
            store,
            tasks,
            cancel,
            _workers: workers,
        }
    }

    /// A new gateway over the same backend.
    pub(crate) async fn restart(mut self) -> Self {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
        Self::over(self.fake, StoreConfig::default()).await
    }

    /// Stops the gateway; the backend keeps running.
    pub(crate) async fn into_fake(mut self) -> Fake {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.fake
    }

    pub(crate) async fn until(&self, reached: impl FnMut(&Phase) -> bool) {
        let mut phase = self.store.phase();
        let wait = tokio::time::timeout(Duration::from_secs(10), phase.wait_for(reached));
        wait.await
            .expect("reached in time")
            .expect("the store lives");
    }

    /// A create.
    pub(crate) fn op(&self, key: &str, value: Vec<u8>) -> WriteOp {
        let action = Action::Create {
            value: value.into(),
            index: Index::default(),
        };
        Self::op_with(key, action)
    }

    fn op_with(key: &str, action: Action) -> WriteOp {
        let (namespace, name) = key.split_once('/').expect("namespace/name");
        WriteOp {
            resource: things(),
            key: ObjectKey::new(namespace, name),
            action,
            expected: None,
            origin: Arc::default(),
        }
    }

    pub(crate) async fn write(
        &self,
        key: &str,
        action: Action,
    ) -> Result<WriteOutcome, StoreError> {
        self.store.write(Self::op_with(key, action)).await
    }

    /// Creates or updates; returns the revision.
    pub(crate) async fn put(&self, key: &str, number: u64, team: &str) -> u64 {
        let (value, index) = (Bytes::from(thing(key, number, team)), Default::default());
        let create = Action::Create {
            value: value.clone(),
            index,
        };
        let outcome = match self.write(key, create).await {
            Ok(WriteOutcome::Conflict { .. }) => {
                self.write(
                    key,
                    Action::Update {
                        value,
                        index: Default::default(),
                    },
                )
                .await
            }
            other => other,
        };
        match outcome {
            Ok(WriteOutcome::Applied { revision, .. }) => revision.get(),
            other => panic!("not stored: {other:?}"),
        }
    }

    /// Names and numbers of a list.
    pub(crate) async fn list(
        &self,
        request: ListRequest,
    ) -> Result<(u64, Vec<(String, u64)>), StoreError> {
        let listing = self.store.list(&things(), request).await?;
        let objects = listing.iter();
        let pairs = objects
            .map(|it| (it.key().to_string(), number(it.bytes())))
            .collect();
        Ok((listing.revision().get(), pairs))
    }

    pub(crate) async fn watch(&self, start: WatchStart) -> Watcher {
        let request = WatchRequest::everything(Scope::All, start);
        self.store.watch(&things(), request).await.expect("a watch")
    }
}

/// The next `count` changes: kind, key, revision.
pub(crate) async fn changes(watcher: &mut Watcher, count: usize) -> Vec<(EventKind, String, u64)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(10), watcher.next_batch(count));
        let batch = next
            .await
            .expect("in time")
            .expect("not ended")
            .expect("no error");
        for item in batch {
            match item {
                WatchItem::Event {
                    kind,
                    object,
                    revision,
                } => {
                    assert!(object.revision() <= revision);
                    seen.push((kind, object.key().to_string(), revision.get()));
                }
                other => panic!("not a change: {other:?}"),
            }
        }
    }
    seen
}

/// Waits until a watcher has read everything. A change may be read before its progress mark
/// arrives, and waiting for the next change consumes the mark.
pub(crate) async fn settled(watcher: &mut Watcher) {
    let settled = async {
        while watcher.progress().is_none() {
            tokio::select! {
                biased;
                more = watcher.next_batch(1) => panic!("nothing else was written: {more:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(10), settled);
    settled.await.expect("settled in time");
}
