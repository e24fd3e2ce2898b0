//! All records of a resource on their way into memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backend_proto::limits::CHUNK_BYTES;
use backend_proto::v1;
use tonic::Streaming;

use crate::backend::calls::Calls;
use crate::backend::check::{self, broken};
use crate::backend::error::{Error, Reason};
use crate::backend::key::{ObjectKey, ResourceId};
use crate::backend::record::{Header, Record};

/// Longest wait for the next piece of a list.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(15);
/// Chunks without a record that may follow each other: a list that goes on for ever without coming
/// further is none. A driver has no reason to send one.
const EMPTY_CHUNKS: u32 = 64;
/// Most bytes of a chunk that holds several records: several times what the protocol allows, and
/// still little enough for the chunks that are decoded at the same time.
const CHUNK_BYTES_MAX: usize = 16 * CHUNK_BYTES;
/// Memory of a record beside its value, at least.
const RECORD_BYTES: usize = 256;

/// A list under way. Complete only when [`RecordStream::next`] gave `None`.
#[derive(Debug)]
pub(crate) struct RecordStream {
    stream: Streaming<v1::ListResponse>,
    resource: ResourceId,
    header: Header,
    count: i64,
    /// The last key.
    last: Option<ObjectKey>,
    /// Chunks without a record, since the last with one.
    empty: u32,
    budget: LoadBudget,
}

/// Memory that the lists of one load may take together; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LoadBudget {
    limit: u64,
    taken: Arc<AtomicU64>,
}

impl LoadBudget {
    /// A budget of so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    fn take(&self, bytes: usize) -> Result<(), Error> {
        let taken = self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        if taken.saturating_add(bytes as u64) <= self.limit {
            return Ok(());
        }
        let message = format!(
            "the objects of the store are larger than {} MiB together: raise --watch-cache-bytes \
             on a machine that has the memory",
            self.limit >> 20
        );
        Err(Error::new(Reason::TooLarge, message))
    }
}

impl RecordStream {
    pub(super) async fn open(
        mut stream: Streaming<v1::ListResponse>,
        calls: &Calls,
        resource: ResourceId,
        budget: LoadBudget,
    ) -> Result<Self, Error> {
        match piece(&mut stream).await? {
            Some(v1::list_response::Part::Header(header)) => Ok(Self {
                stream,
                resource,
                header: calls.note_lagging(Some(header))?,
                count: 0,
                last: None,
                empty: 0,
                budget,
            }),
            _ => Err(broken("a list began without its header")),
        }
    }

    /// State of the store; `revision` is the snapshot's.
    #[must_use]
    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// The next records, or `None` after the last.
    ///
    /// # Errors
    /// If the stream broke, is short, holds what is not asked for, or is larger than the budget.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Record>>, Error> {
        match piece(&mut self.stream).await? {
            Some(v1::list_response::Part::Chunk(chunk)) => self.take(chunk.records).map(Some),
            Some(v1::list_response::Part::Trailer(trailer)) => {
                if trailer.count == self.count && !trailer.more {
                    return Ok(None);
                }
                Err(broken(format!(
                    "a list of {} records came as {}",
                    trailer.count, self.count
                )))
            }
            Some(v1::list_response::Part::Header(_)) => {
                Err(broken("a list has a header in its middle"))
            }
            None => Err(Error::new(
                Reason::Unreachable,
                "a list ended without its trailer",
            )),
        }
    }

    fn take(&mut self, records: Vec<v1::Record>) -> Result<Vec<Record>, Error> {
        let bytes = records
            .iter()
            .map(|record| record.value.len() + RECORD_BYTES);
        let bytes: usize = bytes.sum();
        if records.len() > 1 && bytes > CHUNK_BYTES_MAX {
            let message = format!("a list has a chunk of {} MiB", bytes >> 20);
            return Err(broken(message));
        }
        self.empty = if records.is_empty() {
            self.empty + 1
        } else {
            0
        };
        if self.empty > EMPTY_CHUNKS {
            return Err(broken("a list goes on without coming further"));
        }
        self.budget.take(bytes)?;
        self.count += records.len() as i64;
        records.into_iter().map(|it| self.check(it)).collect()
    }

    /// A record, if it is of this list and follows those before it.
    fn check(&mut self, record: v1::Record) -> Result<Record, Error> {
        let record = check::record(record, Some(&self.resource))?;
        if record.resource != self.resource {
            return Err(broken("a list holds a record of another resource"));
        }
        if record.revision > self.header.revision {
            return Err(broken("a list holds a record that is newer than it"));
        }
        if self.last.as_ref().is_some_and(|last| *last >= record.key) {
            return Err(broken("a list is not in the order of its keys"));
        }
        self.last = Some(record.key.clone());
        Ok(record)
    }
}

async fn piece(
    stream: &mut Streaming<v1::ListResponse>,
) -> Result<Option<v1::list_response::Part>, Error> {
    match tokio::time::timeout(CHUNK_TIMEOUT, stream.message()).await {
        Ok(message) => Ok(message?.and_then(|message| message.part)),
        Err(_) => Err(Error::new(Reason::Deadline, "a list came to a halt")),
    }
}
