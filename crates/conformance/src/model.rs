//! In-memory driver: the oracle of the suite, and the example for authors of drivers.
//!
//! It is simple rather than fast: one lock, one list of changes, and reads of past revisions by
//! replaying that list. It is not durable, which is the one rule of the contract it violates. A
//! clone shares the store, so that a "restarted" server can serve the store of the previous one.

mod errors;
mod import;
mod state;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use backend_proto::limits::CHUNK_BYTES;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{BackendError, Header, Key, Limits, Op, OpResult, Record};
use parking_lot::Mutex;
use prost::Message as _;
use prost_types::Timestamp;
use sidecar::driver::{
    Committed, Description, Driver, DriverHealth, ImportOptions, ImportPart, ImportProgress,
    ListPart, ListQuery, LogPage,
};
use tokio::sync::mpsc;

use self::import::Imported;
use self::state::State;
pub use self::state::VALUE_BYTES;

/// The in-memory driver.
#[derive(Clone, Debug)]
pub struct ModelDriver {
    store: Arc<Mutex<Store>>,
    clock: fn() -> SystemTime,
}

/// State behind the lock.
#[derive(Clone, Debug)]
struct Store {
    state: State,
    /// Content of an unfinished import, separate from the state, which stays empty.
    staged: Option<Imported>,
    /// Reason of the fence, if set.
    fenced: Option<String>,
    /// Bytes of values for which there is room; `None` for no limit.
    room: Option<usize>,
    /// Whether a value did not fit, and none was deleted since.
    full: bool,
}

// === impl ModelDriver ===

impl ModelDriver {
    /// Creates an empty store with a new identity.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(SystemTime::now)
    }

    /// Creates an empty store with another clock for its epochs.
    #[must_use]
    pub fn with_clock(clock: fn() -> SystemTime) -> Self {
        let store = Store {
            state: State::new(uuid::Uuid::new_v4().to_string(), clock()),
            staged: None,
            fenced: None,
            room: None,
            full: false,
        };
        Self {
            store: Arc::new(Mutex::new(store)),
            clock,
        }
    }

    /// Limits the bytes of all values together, as a disk does.
    #[must_use]
    pub fn with_room(self, bytes: usize) -> Self {
        self.store.lock().room = Some(bytes);
        self
    }

    /// Returns a restored copy of the store, which begins a new epoch.
    ///
    /// # Panics
    /// If no revision is left for it.
    #[must_use]
    pub fn restored(&self) -> Self {
        let copy = self.fork();
        {
            let mut store = copy.store.lock();
            let now = (copy.clock)();
            store.state = store.state.begin_epoch(now).expect("room for an epoch");
        }
        copy
    }

    /// Returns an independent copy of the store. A clone, in contrast, is another handle of the
    /// same store.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            store: Arc::new(Mutex::new(self.store.lock().clone())),
            clock: self.clock,
        }
    }
}

// === impl Store ===

impl Store {
    /// Returns an error while an import is unfinished: a call may have passed the kit's gate just
    /// before.
    fn check_complete(&self) -> Result<(), BackendError> {
        match self.staged {
            Some(_) => Err(errors::not_ready("an import is unfinished")),
            None => Ok(()),
        }
    }

    /// Serves writes of a fenced store: returns the verdicts of operations that were already
    /// applied. The rejection `NOT_APPLIED` would be wrong for these.
    fn remember(&self, ops: &[Op], reason: &str) -> Result<Vec<OpResult>, BackendError> {
        let remembered = ops.iter().map(|op| self.state.remembered(op));
        let remembered: Vec<_> = remembered.collect();
        let fenced = errors::not_ready(reason);
        if remembered.iter().all(Option::is_none) {
            return Err(fenced);
        }
        let results = remembered.into_iter().map(|verdict| OpResult {
            verdict: verdict.or_else(|| Some(Verdict::Refused(fenced.clone()))),
        });
        Ok(results.collect())
    }

    /// Applies one operation, or rejects it if its value does not fit.
    fn write(&mut self, op: Op, now: Timestamp) -> OpResult {
        let stores = matches!(op.action(), Action::Create | Action::Update);
        let fits = |room| self.state.bytes() + op.value.len() <= room;
        // An operation that was applied before gets its result again, with or without space.
        if stores && !self.room.is_none_or(fits) && self.state.remembered(&op).is_none() {
            self.full = true;
            let refused = errors::refuse(Reason::NoSpace, "there is no room for the value");
            return OpResult {
                verdict: Some(Verdict::Refused(refused)),
            };
        }
        self.full &= op.action() != Action::Delete;
        self.state.apply(op, now)
    }
}

impl Default for ModelDriver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Driver for ModelDriver {
    fn describe(&self) -> Description {
        Description {
            name: "model".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: Limits {
                value_bytes: VALUE_BYTES as i64,
                write_ops: 256,
                write_bytes: 2 * VALUE_BYTES as i64,
            },
            // The kit is the only writer, so it need not poll the log for changes of others.
            multi_writer: false,
            moves: true,
        }
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<Committed, BackendError> {
        let now = SystemTime::now().into();
        // The lock is the transaction: no read can run between two operations of the batch.
        let mut store = self.store.lock();
        store.check_complete()?;
        if let Some(reason) = &store.fenced {
            return Ok(Committed {
                header: store.state.header(),
                results: store.remember(&ops, reason)?,
                events: Vec::new(),
            });
        }
        let before = store.state.header().revision;
        let results = ops.into_iter().map(|op| store.write(op, now)).collect();
        Ok(Committed {
            header: store.state.header(),
            results,
            events: store.state.changes_after(before).cloned().collect(),
        })
    }

    async fn get(
        &self,
        key: &Key,
        revision: i64,
    ) -> Result<(Header, Option<Record>), BackendError> {
        let state = &self.store.lock().state;
        let at = state.readable(revision)?;
        let record = state.at(at).get(&state::sort_key(key)).cloned();
        Ok((state.header(), record))
    }

    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError> {
        Ok(self.store.lock().state.resources())
    }

    async fn about_records(&self) -> Result<Option<u64>, BackendError> {
        Ok(Some(self.store.lock().state.count()))
    }

    async fn list(
        &self,
        query: ListQuery,
        sink: mpsc::Sender<ListPart>,
    ) -> Result<(), BackendError> {
        // Copies the whole list at once. A driver on a database reads chunk by chunk from one
        // snapshot instead, so that a list needs memory for one chunk only.
        let (header, mut records) = {
            let state = &self.store.lock().state;
            let at = state.readable(query.revision)?;
            let header = Header {
                revision: at,
                ..state.header()
            };
            (header, state.select(at, &query))
        };
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let more = query.limit > 0 && records.len() > limit;
        if more {
            records.truncate(limit);
        }
        let mut parts = vec![ListPart::Header(header)];
        parts.extend(chunks(records).into_iter().map(ListPart::Records));
        parts.push(ListPart::End { more });
        for part in parts {
            // The channel is small, so this waits for the reader. A disconnected reader is not an
            // error.
            if sink.send(part).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn read_log(&self, after: i64, max_bytes: usize) -> Result<LogPage, BackendError> {
        let state = &self.store.lock().state;
        let header = state.header();
        if after > header.revision {
            return Err(errors::future(after, header.revision));
        }
        if after < header.compact_revision {
            return Err(errors::compacted(header.compact_revision));
        }
        let (mut events, mut bytes, mut up_to_revision) = (Vec::new(), 0, header.revision);
        for event in state.changes_after(after) {
            // At least one event, so that one larger than the limit can be read.
            if bytes >= max_bytes && !events.is_empty() {
                up_to_revision = event.revision - 1;
                break;
            }
            bytes += event.encoded_len();
            events.push(event.clone());
        }
        Ok(LogPage {
            events,
            up_to_revision,
            header,
        })
    }

    async fn header(&self) -> Result<Header, BackendError> {
        Ok(self.store.lock().state.header())
    }

    async fn compact(&self, revision: i64) -> Result<Header, BackendError> {
        let mut store = self.store.lock();
        store.check_complete()?;
        store.state.compact(revision)?;
        Ok(store.state.header())
    }

    async fn retention_target(
        &self,
        keep: Duration,
        keep_events: u64,
    ) -> Result<Option<i64>, BackendError> {
        let horizon = SystemTime::now().checked_sub(keep);
        let state = &self.store.lock().state;
        Ok(horizon.and_then(|horizon| state.retention_target(horizon.into(), keep_events)))
    }

    async fn import(
        &self,
        options: ImportOptions,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError> {
        let earlier = self.store.lock().staged.clone();
        let known = earlier.as_ref().map(Imported::progress);
        // Collected outside the store, so that nothing is visible or stored before the last part.
        let imported = import::receive(&options, earlier, parts).await?;
        let mut store = self.store.lock();
        if let Some(reason) = &store.fenced {
            return Err(errors::not_ready(reason));
        }
        if store.staged.as_ref().map(Imported::progress) != known {
            return Err(errors::invalid("another import came between"));
        }
        if !store.state.is_empty() {
            return Err(errors::invalid("import needs an empty store"));
        }
        if options.more {
            store.staged = Some(imported);
        } else {
            let before = store.state.head();
            let now = (self.clock)();
            store.state = imported.into_state(before, options.keep_epoch, now)?;
            store.staged = None;
        }
        Ok(store.state.header())
    }

    async fn import_progress(&self) -> Result<Option<ImportProgress>, BackendError> {
        Ok(self.store.lock().staged.as_ref().map(Imported::progress))
    }

    async fn fence(&self, reason: Option<String>) -> Result<Header, BackendError> {
        // Commits take the same lock: none is in progress, and the next one reads the fence.
        let mut store = self.store.lock();
        store.check_complete()?;
        store.fenced = reason;
        Ok(store.state.header())
    }

    async fn fenced(&self) -> Result<Option<String>, BackendError> {
        Ok(self.store.lock().fenced.clone())
    }

    async fn health(&self) -> DriverHealth {
        let store = self.store.lock();
        match &store.fenced {
            Some(reason) => DriverHealth::Fenced(reason.clone()),
            None if store.full => DriverHealth::NoSpace("there is no room for a value".to_owned()),
            None => DriverHealth::Ready,
        }
    }

    async fn close(&self) {}
}

/// Splits records into chunks below the size limit; a larger record is a chunk by itself.
fn chunks(records: Vec<Record>) -> Vec<Vec<Record>> {
    // Bytes of the frame around each record: tag and length.
    const FRAME: usize = 8;
    let (mut chunks, mut bytes) = (Vec::<Vec<Record>>::new(), 0);
    for record in records {
        let size = record.encoded_len() + FRAME;
        match chunks.last_mut() {
            Some(chunk) if bytes + size <= CHUNK_BYTES => {
                bytes += size;
                chunk.push(record);
            }
            _ => {
                bytes = size;
                chunks.push(vec![record]);
            }
        }
    }
    chunks
}

#[cfg(test)]
mod tests;
