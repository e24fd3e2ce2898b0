//! Lists: streams of all records of a resource.

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

/// Deadline of the next message of a list.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest run of chunks without a record. A driver has no reason to send one; the limit ends a
/// list that never completes.
const EMPTY_CHUNKS: u32 = 64;
/// Largest chunk with several records, bytes: well above the protocol's limit, and small enough for
/// the chunks that are decoded concurrently.
const CHUNK_BYTES_MAX: usize = 16 * CHUNK_BYTES;
/// Least memory of a record besides its value, bytes.
const RECORD_BYTES: usize = 256;

/// An open list. It is complete once [`RecordStream::next`] returns `None`.
#[derive(Debug)]
pub(crate) struct RecordStream {
    stream: Streaming<v1::ListResponse>,
    resource: ResourceId,
    header: Header,
    count: i64,
    /// The key of the last record.
    last: Option<ObjectKey>,
    /// Chunks without a record since the last one with a record.
    empty: u32,
    budget: LoadBudget,
}

/// Memory for all lists of one load; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LoadBudget {
    limit: u64,
    taken: Arc<AtomicU64>,
}

impl LoadBudget {
    /// A budget in bytes.
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
            "the objects of the store exceed {} MiB in total: raise --watch-cache-bytes on a \
             machine that has the memory",
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
        match part(&mut stream).await? {
            Some(v1::list_response::Part::Header(header)) => Ok(Self {
                stream,
                resource,
                header: calls.note_lagging(Some(header))?,
                count: 0,
                last: None,
                empty: 0,
                budget,
            }),
            _ => Err(broken("a list does not start with its header")),
        }
    }

    /// State of the store; its revision is that of the list.
    #[must_use]
    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// The next records, or `None` after the last.
    ///
    /// # Errors
    /// If the stream breaks, is incomplete, contains other records, or exceeds the budget.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Record>>, Error> {
        match part(&mut self.stream).await? {
            Some(v1::list_response::Part::Chunk(chunk)) => self.take(chunk.records).map(Some),
            Some(v1::list_response::Part::Trailer(trailer)) => {
                if trailer.count == self.count && !trailer.more {
                    return Ok(None);
                }
                Err(broken(format!(
                    "a list announced {} records and contained {}",
                    trailer.count, self.count
                )))
            }
            Some(v1::list_response::Part::Header(_)) => {
                Err(broken("a list contains a second header"))
            }
            None => Err(Error::new(
                Reason::Unreachable,
                "a list ended without a trailer",
            )),
        }
    }

    fn take(&mut self, records: Vec<v1::Record>) -> Result<Vec<Record>, Error> {
        let bytes = records
            .iter()
            .map(|record| record.value.len() + RECORD_BYTES);
        let bytes: usize = bytes.sum();
        if records.len() > 1 && bytes > CHUNK_BYTES_MAX {
            let message = format!("a list contains a chunk of {} MiB", bytes >> 20);
            return Err(broken(message));
        }
        self.empty = if records.is_empty() {
            self.empty + 1
        } else {
            0
        };
        if self.empty > EMPTY_CHUNKS {
            return Err(broken("a list sends chunks without records"));
        }
        self.budget.take(bytes)?;
        self.count += records.len() as i64;
        records.into_iter().map(|it| self.check(it)).collect()
    }

    /// Validates a record: its resource, revision and place in key order.
    fn check(&mut self, record: v1::Record) -> Result<Record, Error> {
        let record = check::record(record, Some(&self.resource))?;
        if record.resource != self.resource {
            return Err(broken("a list contains a record of another resource"));
        }
        if record.revision > self.header.revision {
            return Err(broken(
                "a list contains a record that is newer than the list",
            ));
        }
        if self.last.as_ref().is_some_and(|last| *last >= record.key) {
            return Err(broken("a list is not in key order"));
        }
        self.last = Some(record.key.clone());
        Ok(record)
    }
}

async fn part(
    stream: &mut Streaming<v1::ListResponse>,
) -> Result<Option<v1::list_response::Part>, Error> {
    match tokio::time::timeout(CHUNK_TIMEOUT, stream.message()).await {
        Ok(message) => Ok(message?.and_then(|message| message.part)),
        Err(_) => {
            let message = format!("no part of a list within {} s", CHUNK_TIMEOUT.as_secs());
            Err(Error::new(Reason::Deadline, message))
        }
    }
}
