//! A driver that returns wrong values, or fails during imports.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::{BackendError, Header, Key, Op, Record};
use conformance::ModelDriver;
use sidecar::Driver;
use sidecar::driver::{
    Committed, Description, DriverHealth, ImportOptions, ImportPart, ImportProgress, ListPart,
    ListQuery, LogPage,
};
use tokio::sync::{Mutex, mpsc, watch};

/// The model driver, except that lists show another value for one name, or imports fail.
pub(crate) struct FaultyDriver {
    model: ModelDriver,
    name: &'static str,
    fault: ImportFault,
    /// Number of failed calls of Import.
    met: watch::Sender<u32>,
    /// Options of the closing call whose commit is pending.
    committing: Mutex<Option<ImportOptions>>,
}

/// Failure of calls of Import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportFault {
    None,
    /// The commit of a closing call waits for a standby that is down: its caller gets an unknown
    /// outcome, and all other calls fail because another holds the store.
    Standby,
    /// A closing call never gets a response and has no effect.
    Silence,
}

impl FaultyDriver {
    pub(crate) fn about(name: &'static str) -> Arc<Self> {
        Arc::new(Self::new(name, ImportFault::None))
    }

    pub(crate) fn with(fault: ImportFault) -> Arc<Self> {
        Arc::new(Self::new("", fault))
    }

    fn new(name: &'static str, fault: ImportFault) -> Self {
        Self {
            model: ModelDriver::new(),
            name,
            fault,
            met: watch::Sender::new(0),
            committing: Mutex::default(),
        }
    }

    /// Returns the number of failed calls of Import.
    pub(crate) fn met(&self) -> u32 {
        *self.met.borrow()
    }

    /// Waits until this many calls of Import have failed.
    pub(crate) async fn fault(&self, calls: u32) {
        let mut met = self.met.subscribe();
        let waited = met.wait_for(|met| *met >= calls).await;
        waited.expect("it is ours");
    }

    /// Simulates the return of the standby: the commit ends.
    pub(crate) async fn commit_at_last(&self) {
        let options = self.committing.lock().await.take().expect("a commit");
        let (sender, parts) = mpsc::channel(1);
        sender.send(ImportPart::Done).await.expect("received");
        self.model.import(options, parts).await.expect("imported");
    }
}

fn rejection(reason: Reason, outcome: Outcome) -> BackendError {
    BackendError {
        reason: reason.into(),
        outcome: outcome.into(),
        message: "the database has failed".to_owned(),
        ..BackendError::default()
    }
}

type Answer<T> = Result<T, BackendError>;

#[async_trait]
impl Driver for FaultyDriver {
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
        let met = || self.met.send_modify(|met| *met += 1);
        let mut committing = self.committing.lock().await;
        if committing.is_some() {
            met();
            return Err(rejection(Reason::Overloaded, Outcome::NotApplied));
        }
        if options.more || self.fault == ImportFault::None {
            return self.model.import(options, parts).await;
        }
        met();
        if self.fault == ImportFault::Silence {
            std::future::pending::<()>().await;
        }
        *committing = Some(options);
        Err(rejection(Reason::NotReady, Outcome::Unknown))
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
