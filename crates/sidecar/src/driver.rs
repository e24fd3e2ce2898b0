//! The trait that a driver implements.
//!
//! A driver stores records, numbers changes and reads them back. The kit does batching, watching,
//! transport, health, retention and shutdown. Every method may be called concurrently, except
//! [`Driver::commit`]: the kit runs one at a time.

use async_trait::async_trait;
use backend_proto::v1::{BackendError, Event, Header, Key, Limits, Op, OpResult, Range, Record};
use tokio::sync::mpsc;

use crate::refuse::unimplemented;

/// Description of a driver; the same for every instance of one version.
#[derive(Clone, Debug)]
pub struct Description {
    /// Short name, such as `sqlite`.
    pub name: String,
    /// Version of the driver.
    pub version: String,
    /// Sizes above which the driver rejects with `TOO_LARGE`.
    pub limits: Limits,
    /// Whether other processes may write to the same store; the kit then polls for their changes.
    pub multi_writer: bool,
    /// Whether stores can be moved without downtime: [`Driver::fence`] and imports in several
    /// calls.
    pub moves: bool,
}

/// Result of [`Driver::commit`], returned once it is durable.
#[derive(Debug)]
pub struct Committed {
    /// State of the store after the commit.
    pub header: Header,
    /// One verdict per operation, in order.
    pub results: Vec<OpResult>,
    /// Events of this commit in revision order, without gaps. The kit reads earlier changes of
    /// other writers with [`Driver::read_log`].
    pub events: Vec<Event>,
}

/// A page of the change log.
#[derive(Debug)]
pub struct LogPage {
    /// Events in revision order; all events of a revision are in one page.
    pub events: Vec<Event>,
    /// Every change up to and including this revision is in this page or an earlier one.
    pub up_to_revision: i64,
    /// Header of the store at the time of the read.
    pub header: Header,
}

/// Query of a range, answered from one snapshot.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Keys to read.
    pub range: Range,
    /// Only keys after this one in key order.
    pub after: Option<Key>,
    /// Maximum number of records; 0 for no limit.
    pub limit: u64,
    /// 0 for the latest revision, else a retained revision.
    pub revision: i64,
}

/// Parts of a list, in this order: `Header`, `Records`…, `End`.
#[derive(Debug)]
pub enum ListPart {
    /// Header of the snapshot that all records belong to.
    Header(Header),
    /// Records in key order, in chunks of about [`backend_proto::limits::CHUNK_BYTES`].
    Records(Vec<Record>),
    /// The list is complete.
    End {
        /// Whether the range holds more keys beyond the limit.
        more: bool,
    },
}

/// Health of the driver; the kit adds `STARTING` and shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverHealth {
    /// The driver serves reads and writes.
    Ready,
    /// Creates and updates are rejected because the disk or quota is full.
    NoSpace(String),
    /// Every write is rejected because the store is fenced, with the reason of the fence.
    Fenced(String),
    /// The store is unreachable, or another process owns it.
    NotReady(String),
    /// Needs a restart or an operator.
    Dead(String),
}

/// Options of an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Header of the exporting store.
    pub source: Header,
    /// Keep the epoch of the source instead of beginning a new one.
    pub keep_epoch: bool,
    /// More calls follow: store this content durably but invisibly.
    pub more: bool,
    /// Drop the content of earlier calls of an unfinished import first.
    pub discard: bool,
}

/// Progress of an import in several calls.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportProgress {
    /// Header of the exporting store, as given by the first call.
    pub source: Header,
    /// Key of the last stored snapshot record.
    pub last: Option<Key>,
    /// Revision up to which everything is stored: the snapshot's, or that of the newest event.
    pub revision: i64,
    /// Number of records stored so far.
    pub records: i64,
}

/// Content of an import, in this order: snapshot records, then the events after the snapshot.
#[derive(Debug)]
pub enum ImportPart {
    /// Records of the snapshot.
    Records(Vec<Record>),
    /// Changes after the snapshot.
    Events(Vec<Event>),
    /// The content is complete: commit it. If the channel closes without this part, the driver must
    /// store nothing.
    Done,
}

/// Space of a store on disk, bytes; `None` where the driver does not know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Taken by the store, with history, indexes and logs.
    pub used: Option<u64>,
    /// Can still be written.
    pub free: Option<u64>,
}

/// Storage of ordered, revisioned records. See the crate documentation for the contract; the
/// `backend-conformance` suite checks it.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// Returns the description of the driver, which must not change.
    fn describe(&self) -> Description;

    /// Applies one batch in one transaction and returns after it is durable. No key occurs twice.
    /// An operation that loses its compare-and-swap gets its own verdict, consumes no revision and
    /// does not fail the others. Each applied change gets the next revision, in the order of `ops`.
    ///
    /// # Errors
    /// `outcome` must say whether the batch may have been applied.
    async fn commit(&self, ops: Vec<Op>) -> Result<Committed, BackendError>;

    /// Reads one record: the latest (`revision` 0, linearizable) or at a retained revision. A
    /// missing record is `Ok(None)`.
    ///
    /// # Errors
    /// `COMPACTED`, `FUTURE_REVISION`, or a storage error.
    async fn get(&self, key: &Key, revision: i64)
    -> Result<(Header, Option<Record>), BackendError>;

    /// Returns the group and plural of every resource that has or had records, in key order.
    ///
    /// # Errors
    /// A storage error.
    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError>;

    /// Returns the approximate number of records if it is known without reading them. Used for the
    /// progress of an export.
    ///
    /// # Errors
    /// A storage error.
    async fn about_records(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    /// Returns the space of the store, for metrics. Called every 15 s.
    ///
    /// # Errors
    /// A storage error.
    async fn space(&self) -> Result<Space, BackendError> {
        Ok(Space::default())
    }

    /// Streams a range from one snapshot into `sink`. If the caller is gone, the sink is closed:
    /// stop and return `Ok`.
    ///
    /// # Errors
    /// As [`Driver::get`]; the kit ends the stream with the error.
    async fn list(
        &self,
        query: ListQuery,
        sink: mpsc::Sender<ListPart>,
    ) -> Result<(), BackendError>;

    /// Reads events after a revision, up to about `max_bytes` of values, but at least one event if
    /// there is any.
    ///
    /// # Errors
    /// `COMPACTED` if `after` is below the compact revision.
    async fn read_log(&self, after: i64, max_bytes: usize) -> Result<LogPage, BackendError>;

    /// Reads the current header of the store; `revision` is linearizable and durable.
    ///
    /// # Errors
    /// A storage error.
    async fn header(&self) -> Result<Header, BackendError>;

    /// Drops history up to `revision`, never current state, in small steps that do not block
    /// writers. State at `revision` and later stays readable.
    ///
    /// # Errors
    /// `FUTURE_REVISION`, or a storage error.
    async fn compact(&self, revision: i64) -> Result<Header, BackendError>;

    /// Returns the revision up to which the retention rule allows compaction, or `None` if nothing
    /// may be dropped.
    ///
    /// # Errors
    /// A storage error.
    async fn retention_target(
        &self,
        keep: std::time::Duration,
        keep_events: u64,
    ) -> Result<Option<i64>, BackendError>;

    /// Replaces an empty store with imported content, which becomes visible only at the part `Done`
    /// of a call without `more`. Each call is atomic. While an import is unfinished, the kit
    /// rejects all other calls; a multi-writer driver must reject them as well, because other
    /// processes do not share the kit's gate.
    ///
    /// # Errors
    /// `INVALID` if the store is neither empty nor part of an unfinished import from this source,
    /// or if the parts are out of order.
    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError>;

    /// Returns the progress of an unfinished import, or `None` if there is none.
    ///
    /// # Errors
    /// A storage error.
    async fn import_progress(&self) -> Result<Option<ImportProgress>, BackendError> {
        Ok(None)
    }

    /// Sets a fence that rejects every later write with the reason, or lifts it. The fence is
    /// durable and applies to every process that writes to the store. While it is set,
    /// [`Driver::commit`] fails with `NOT_READY` and [`Driver::health`] reports it.
    ///
    /// # Errors
    /// `UNIMPLEMENTED` unless [`Description::moves`] is set; a storage error.
    async fn fence(&self, _reason: Option<String>) -> Result<Header, BackendError> {
        Err(unimplemented("this driver cannot fence its store"))
    }

    /// Returns the reason of the fence, or `None` if the store is not fenced.
    ///
    /// # Errors
    /// A storage error.
    async fn fenced(&self) -> Result<Option<String>, BackendError> {
        Ok(None)
    }

    /// Waits for a hint that another writer changed the store; the kit then reads the log. A lost
    /// hint delays a change but never loses it, because the kit also polls. The future must be
    /// cancel-safe.
    async fn changed(&self) {
        std::future::pending().await
    }

    /// Returns the current health. Must return within a second even if the store hangs.
    async fn health(&self) -> DriverHealth;

    /// Finishes calls in progress and closes the store. Called once, after the last other call.
    async fn close(&self);
}
