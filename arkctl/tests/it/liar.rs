//! A driver that imports well and reads badly.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_proto::v1::{BackendError, Header, Key, Op, Record};
use conformance::ModelDriver;
use sidecar::Driver;
use sidecar::driver::{
    Committed, Description, DriverHealth, ImportOptions, ImportPart, ImportProgress, ListPart,
    ListQuery, LogPage,
};
use tokio::sync::mpsc;

/// Shows another value for one name in lists; otherwise the model.
pub(crate) struct Liar {
    model: ModelDriver,
    name: &'static str,
}

impl Liar {
    pub(crate) fn about(name: &'static str) -> Arc<Self> {
        let model = ModelDriver::new();
        Arc::new(Self { model, name })
    }
}

type Answer<T> = Result<T, BackendError>;

#[async_trait]
impl Driver for Liar {
    fn describe(&self) -> Description {
        self.model.describe()
    }

    async fn commit(&self, ops: Vec<Op>) -> Answer<Committed> {
        self.model.commit(ops).await
    }

    async fn get(&self, key: &Key, revision: i64) -> Answer<(Header, Option<Record>)> {
        self.model.get(key, revision).await
    }

    async fn resources(&self) -> Answer<Vec<(String, String)>> {
        self.model.resources().await
    }

    async fn list(&self, query: ListQuery, sink: mpsc::Sender<ListPart>) -> Answer<()> {
        let (sender, mut parts) = mpsc::channel(1);
        let forward = async {
            while let Some(mut part) = parts.recv().await {
                if let ListPart::Records(records) = &mut part {
                    for record in records {
                        if record.key.as_ref().is_some_and(|key| key.name == self.name) {
                            record.value = "a lie".into();
                        }
                    }
                }
                if sink.send(part).await.is_err() {
                    break;
                }
            }
        };
        tokio::join!(self.model.list(query, sender), forward).0
    }

    async fn read_log(&self, after: i64, max_bytes: usize) -> Answer<LogPage> {
        self.model.read_log(after, max_bytes).await
    }

    async fn header(&self) -> Answer<Header> {
        self.model.header().await
    }

    async fn compact(&self, revision: i64) -> Answer<Header> {
        self.model.compact(revision).await
    }

    async fn retention_target(&self, keep: Duration, events: u64) -> Answer<Option<i64>> {
        self.model.retention_target(keep, events).await
    }

    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Answer<Header> {
        self.model.import(options, parts).await
    }

    async fn import_progress(&self) -> Answer<Option<ImportProgress>> {
        self.model.import_progress().await
    }

    async fn fence(&self, reason: Option<String>) -> Answer<Header> {
        self.model.fence(reason).await
    }

    async fn fenced(&self) -> Answer<Option<String>> {
        self.model.fenced().await
    }

    async fn health(&self) -> DriverHealth {
        self.model.health().await
    }

    async fn close(&self) {
        self.model.close().await;
    }
}
