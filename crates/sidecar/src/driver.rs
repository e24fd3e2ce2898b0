//! The one trait a driver author implements.
//!
//! A driver stores records, numbers changes and reads them back. Batching, watching, transport,
//! health, retention and shutdown are the kit's. Every method may be called concurrently, except
//! that the kit runs one [`Driver::commit`] at a time.

use async_trait::async_trait;
use backend_proto::v1::{BackendError, Event, Header, Key, Limits, Op, OpResult, Range, Record};
use tokio::sync::mpsc;

use crate::refuse::unimplemented;

/// What a driver says of itself; the same for every instance of one version.
#[derive(Clone, Debug)]
pub struct Description {
    /// Short name, such as `sqlite`.
    pub name: String,
    /// The driver's own version.
    pub version: String,
    /// What it refuses with `TOO_LARGE`.
    pub limits: Limits,
    /// Whether other processes may write to the same store: then the kit polls for their changes.
    pub multi_writer: bool,
    /// Whether stores can be moved without a gap: [`Driver::fence`] and imports in several calls.
    pub moves: bool,
}

/// What [`Driver::commit`] did, once it is durable.
#[derive(Debug)]
pub struct Committed {
    /// The store after the commit.
    pub header: Header,
    /// One verdict per operation, in order.
    pub results: Vec<OpResult>,
    /// The events of this commit in revision order, without gaps among them. Changes of other
    /// writers that lie before them are read with [`Driver::read_log`].
    pub events: Vec<Event>,
}

/// A piece of the log.
#[derive(Debug)]
pub struct LogPage {
    /// Events in revision order; all events of a revision are in one page.
    pub events: Vec<Event>,
    /// Every change up to and including this revision is in this page or an earlier one.
    pub through: i64,
    /// The store as of this read.
    pub header: Header,
}

/// A range read from one snapshot.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// What to read.
    pub range: Range,
    /// Only keys after this one in key order.
    pub after: Option<Key>,
    /// At most this many records; 0 for all.
    pub limit: u64,
    /// 0 for the latest, else a revision within retention.
    pub revision: i64,
}

/// Parts of a list, in this order: `Header`, `Records`…, `End`.
#[derive(Debug)]
pub enum ListPart {
    /// The snapshot that all records belong to.
    Header(Header),
    /// Some records, in key order, about [`backend_proto::limits::CHUNK_BYTES`] at a time.
    Records(Vec<Record>),
    /// Everything was sent; whether more keys follow the limit.
    End {
        /// More keys follow in the range.
        more: bool,
    },
}

/// Health as the driver sees it; the kit adds `STARTING` and shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverHealth {
    /// Everything works.
    Ready,
    /// Creates and updates are refused because the disk or quota is full.
    NoSpace(String),
    /// Every write is refused because the store was fenced, with the reason given then.
    Fenced(String),
    /// The store cannot be reached or is not ours to write.
    NotReady(String),
    /// Needs a restart or a person.
    Dead(String),
}

/// How an import is to be made.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Header of the exporting store.
    pub source: Header,
    /// Stay in the source's epoch.
    pub keep_epoch: bool,
    /// More calls follow: keep what this one brings, durable but invisible.
    pub more: bool,
    /// First drop what earlier calls of an unfinished import brought.
    pub discard: bool,
}

/// How far an import in several calls has come.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportProgress {
    /// Header of the exporting store, as the first call gave it.
    pub source: Header,
    /// The last record of the snapshot that is kept.
    pub last: Option<Key>,
    /// Everything up to here is kept: the snapshot's revision, or the newest event's.
    pub revision: i64,
    /// Records kept so far.
    pub records: i64,
}

/// Content of an import, in this order: records of the snapshot, then events after it.
#[derive(Debug)]
pub enum ImportPart {
    /// Snapshot records.
    Records(Vec<Record>),
    /// Changes after the snapshot.
    Events(Vec<Event>),
    /// Everything arrived whole: commit. A channel that closes before this means: keep nothing.
    Done,
}

/// Storage of ordered, revisioned records. See the crate documentation for the contract, which
/// `backend-conformance` checks.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// Who this is. Constant.
    fn describe(&self) -> Description;

    /// Applies one batch in one transaction and returns after it is durable. No key occurs twice.
    /// Losers of a compare-and-swap get their own verdict, cost no revision and fail nobody else.
    /// Each applied change gets the next revision, in the order of `ops`.
    ///
    /// # Errors
    /// `outcome` must say whether the batch may have been applied.
    async fn commit(&self, ops: Vec<Op>) -> Result<Committed, BackendError>;

    /// One record: the latest (`revision` 0, linearizable) or at a retained revision.
    ///
    /// # Errors
    /// `COMPACTED`, `FUTURE_REVISION`, or storage trouble; a missing record is `Ok(None)`.
    async fn get(&self, key: &Key, revision: i64)
    -> Result<(Header, Option<Record>), BackendError>;

    /// Group and plural of every resource of which something is or was stored, in key order.
    ///
    /// # Errors
    /// Storage trouble.
    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError>;

    /// About how many records are stored, if that can be told without reading them: for the progress
    /// of an export.
    ///
    /// # Errors
    /// Storage trouble.
    async fn about_records(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    /// Streams a range from one snapshot into `sink`. A closed sink means that the caller left:
    /// stop and return `Ok`.
    ///
    /// # Errors
    /// As [`Driver::get`]; after an error the kit ends the stream with it.
    async fn list(
        &self,
        query: ListQuery,
        sink: mpsc::Sender<ListPart>,
    ) -> Result<(), BackendError>;

    /// Events after a revision, at most about `max_bytes` of values, at least one if there is one.
    ///
    /// # Errors
    /// `COMPACTED` if `after` is below the compact revision.
    async fn read_log(&self, after: i64, max_bytes: usize) -> Result<LogPage, BackendError>;

    /// The store's header now; `revision` is linearizable and durable.
    ///
    /// # Errors
    /// Storage trouble.
    async fn header(&self) -> Result<Header, BackendError>;

    /// Drops history up to `revision`, never current state, in small steps that do not hold up
    /// writers. State at `revision` and later stays readable.
    ///
    /// # Errors
    /// `FUTURE_REVISION`, or storage trouble.
    async fn compact(&self, revision: i64) -> Result<Header, BackendError>;

    /// The revision below which the retention rule allows history to go: `None` if nothing may.
    ///
    /// # Errors
    /// Storage trouble.
    async fn retention_target(
        &self,
        keep: std::time::Duration,
        keep_events: u64,
    ) -> Result<Option<i64>, BackendError>;

    /// Replaces an empty store by imported content; nothing is visible before the part `Done` of a
    /// call without `more`. Each call is kept whole or not at all. While an import is unfinished
    /// the kit refuses everything else; with several writers the driver must, too.
    ///
    /// # Errors
    /// `INVALID` if the store is neither empty nor in the midst of an import from this source, or
    /// if the parts are out of order.
    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError>;

    /// How far an unfinished import has come; `None` if there is none.
    ///
    /// # Errors
    /// Storage trouble.
    async fn import_progress(&self) -> Result<Option<ImportProgress>, BackendError> {
        Ok(None)
    }

    /// Refuses every write from now on with the reason, or lifts that. Durable, and for every
    /// process that writes to the store. [`Driver::commit`] then fails with `NOT_READY`, and
    /// [`Driver::health`] tells it.
    ///
    /// # Errors
    /// `UNIMPLEMENTED` unless [`Description::moves`] is set; storage trouble.
    async fn fence(&self, _reason: Option<String>) -> Result<Header, BackendError> {
        Err(unimplemented("this driver cannot fence its store"))
    }

    /// Why the store is fenced, if it is.
    ///
    /// # Errors
    /// Storage trouble.
    async fn fenced(&self) -> Result<Option<String>, BackendError> {
        Ok(None)
    }

    /// Waits for a hint that other writers changed the store; the kit then reads the log. A lost
    /// hint costs time, never a change: the kit polls as well. Must be safe to drop.
    async fn news(&self) {
        std::future::pending().await
    }

    /// Health now; must answer within a second even when the store hangs.
    async fn health(&self) -> DriverHealth;

    /// Finishes what is under way and closes the store. Called once, after the last other call.
    async fn close(&self);
}
