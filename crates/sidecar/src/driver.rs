//! The one trait a driver author implements.
//!
//! A driver stores records, numbers changes and reads them back. Batching, watching, transport,
//! health, retention and shutdown are the kit's. Every method may be called concurrently, except
//! that the kit runs one [`Driver::commit`] at a time.

use async_trait::async_trait;
use backend_proto::v1::{BackendError, Event, Header, Key, Limits, Op, OpResult, Range, Record};
use tokio::sync::mpsc;

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

    /// Replaces an empty store by imported content; nothing is visible before the part `Done`.
    ///
    /// # Errors
    /// `INVALID` if the store is not empty or the parts are out of order.
    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError>;

    /// Health now; must answer within a second even when the store hangs.
    async fn health(&self) -> DriverHealth;

    /// Finishes what is under way and closes the store. Called once, after the last other call.
    async fn close(&self);
}
