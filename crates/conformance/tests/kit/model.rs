//! The model keeps every sentence, also where its commits are seen before they are acknowledged.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_proto::v1::{BackendError, Header, Key, Op, Record};
use conformance::{Effort, ModelDriver, Report, cases, suite};
use sidecar::Driver;
use sidecar::driver::{
    Committed, Description, DriverHealth, ImportOptions, ImportPart, ImportProgress, ListPart,
    ListQuery, LogPage,
};
use tokio::sync::mpsc;

use crate::served::{Empty, Served};

async fn passes(wrap: fn(ModelDriver) -> Arc<dyn Driver>) {
    let served = Served::start(wrap(ModelDriver::new())).await;
    let effort = Effort {
        seed: 7,
        long: false,
    };
    let (endpoint, empty) = (served.endpoint(), Some(Arc::new(Empty(wrap)) as _));
    let rows = suite::run_with(&endpoint, empty, &cases::all(), effort, |_| ()).await;
    let rows = rows.expect("the driver answers");
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    assert!(report.summary().ends_with("0 failed, 0 skipped"));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_passes_every_case() {
    passes(|model| Arc::new(model)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_whose_commits_are_seen_early_passes_every_case() {
    passes(|model| Arc::new(SeenEarly(model))).await;
}

/// As a database that is asked over a network: readers may see a commit well before the answer
/// to it arrives.
struct SeenEarly(ModelDriver);

#[async_trait]
impl Driver for SeenEarly {
    async fn commit(&self, ops: Vec<Op>) -> Result<Committed, BackendError> {
        let committed = self.0.commit(ops).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
        committed
    }

    fn describe(&self) -> Description {
        self.0.describe()
    }

    async fn get(&self, key: &Key, at: i64) -> Result<(Header, Option<Record>), BackendError> {
        self.0.get(key, at).await
    }

    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError> {
        self.0.resources().await
    }

    async fn list(
        &self,
        query: ListQuery,
        sink: mpsc::Sender<ListPart>,
    ) -> Result<(), BackendError> {
        self.0.list(query, sink).await
    }

    async fn read_log(&self, after: i64, max_bytes: usize) -> Result<LogPage, BackendError> {
        self.0.read_log(after, max_bytes).await
    }

    async fn header(&self) -> Result<Header, BackendError> {
        self.0.header().await
    }

    async fn compact(&self, revision: i64) -> Result<Header, BackendError> {
        self.0.compact(revision).await
    }

    async fn retention_target(
        &self,
        keep: Duration,
        keep_events: u64,
    ) -> Result<Option<i64>, BackendError> {
        self.0.retention_target(keep, keep_events).await
    }

    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError> {
        self.0.import(options, parts).await
    }

    async fn import_progress(&self) -> Result<Option<ImportProgress>, BackendError> {
        self.0.import_progress().await
    }

    async fn fence(&self, reason: Option<String>) -> Result<Header, BackendError> {
        self.0.fence(reason).await
    }

    async fn fenced(&self) -> Result<Option<String>, BackendError> {
        self.0.fenced().await
    }

    async fn health(&self) -> DriverHealth {
        self.0.health().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
