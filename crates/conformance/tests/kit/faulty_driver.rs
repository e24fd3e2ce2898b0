//! The model driver with injected faults.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::{BackendError, Header, Key, Op, Record};
use conformance::ModelDriver;
use sidecar::Driver;
use sidecar::driver::{
    Committed, Description, DriverHealth, ImportOptions, ImportPart, ImportProgress, ListPart,
    ListQuery, LogPage,
};
use tokio::sync::mpsc;

/// A file to which commits are appended.
pub(crate) struct Journal {
    pub(crate) file: File,
    /// Whether the file is flushed before the commit is acknowledged.
    pub(crate) flushed: bool,
}

/// The model driver with injected faults.
pub(crate) struct FaultyDriver {
    pub(crate) model: ModelDriver,
    /// Delay between a commit's visibility and its response.
    pub(crate) commit_delay: Option<Duration>,
    /// Whether commits panic after they are applied.
    pub(crate) panics_after_commit: bool,
    /// Whether the progress of an import returns an error.
    pub(crate) silent: Arc<AtomicBool>,
    /// Whether retention drops all old changes, however few there are.
    pub(crate) keeps_no_events: bool,
    /// Whether requests of any size are accepted.
    pub(crate) no_request_limits: bool,
    /// File to which each commit is appended.
    pub(crate) journal: Option<Journal>,
}

impl FaultyDriver {
    /// Creates a driver without faults.
    pub(crate) fn new(model: ModelDriver) -> Self {
        Self {
            model,
            commit_delay: None,
            panics_after_commit: false,
            silent: Arc::default(),
            keeps_no_events: false,
            no_request_limits: false,
            journal: None,
        }
    }
}

#[async_trait]
impl Driver for FaultyDriver {
    async fn commit(&self, ops: Vec<Op>) -> Result<Committed, BackendError> {
        let committed = self.model.commit(ops).await;
        if let Some(journal) = &self.journal {
            (&journal.file).write_all(b"a commit").expect("written");
            if journal.flushed {
                journal.file.sync_data().expect("flushed");
            }
        }
        if let Some(delay) = self.commit_delay {
            tokio::time::sleep(delay).await;
        }
        assert!(!self.panics_after_commit, "as commanded");
        committed
    }

    fn describe(&self) -> Description {
        let mut description = self.model.describe();
        if self.no_request_limits {
            // The kit rejects what is above the limits; the proxy describes those of the model.
            description.limits.write_bytes = i64::MAX;
        }
        description
    }

    async fn get(&self, key: &Key, at: i64) -> Result<(Header, Option<Record>), BackendError> {
        self.model.get(key, at).await
    }

    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError> {
        self.model.resources().await
    }

    async fn list(
        &self,
        query: ListQuery,
        sink: mpsc::Sender<ListPart>,
    ) -> Result<(), BackendError> {
        self.model.list(query, sink).await
    }

    async fn read_log(&self, after: i64, max_bytes: usize) -> Result<LogPage, BackendError> {
        self.model.read_log(after, max_bytes).await
    }

    async fn header(&self) -> Result<Header, BackendError> {
        self.model.header().await
    }

    async fn compact(&self, revision: i64) -> Result<Header, BackendError> {
        self.model.compact(revision).await
    }

    async fn retention_target(
        &self,
        keep: Duration,
        keep_events: u64,
    ) -> Result<Option<i64>, BackendError> {
        let keep_events = if self.keeps_no_events { 0 } else { keep_events };
        self.model.retention_target(keep, keep_events).await
    }

    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError> {
        self.model.import(options, parts).await
    }

    async fn import_progress(&self) -> Result<Option<ImportProgress>, BackendError> {
        if self.silent.load(Ordering::Relaxed) {
            return Err(BackendError {
                reason: Reason::NotReady.into(),
                ..BackendError::default()
            });
        }
        self.model.import_progress().await
    }

    async fn fence(&self, reason: Option<String>) -> Result<Header, BackendError> {
        self.model.fence(reason).await
    }

    async fn fenced(&self) -> Result<Option<String>, BackendError> {
        self.model.fenced().await
    }

    async fn health(&self) -> DriverHealth {
        self.model.health().await
    }

    async fn close(&self) {
        self.model.close().await;
    }
}
