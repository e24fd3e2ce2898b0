//! Long answers.

use std::time::Duration;

use backend_proto::v1;
use tonic::Streaming;

use crate::backend::client::Calls;
use crate::backend::error::{Error, Reason};
use crate::backend::record::{Change, Header, Record, unsigned};

/// Longest wait for the next piece of a list.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest silence of the change stream; the backend was asked to say something far more often.
pub(crate) const SILENCE_TIMEOUT: Duration = Duration::from_millis(2500);

/// A list under way. Complete only when [`RecordStream::next`] gave `None`.
#[derive(Debug)]
pub struct RecordStream {
    stream: Streaming<v1::ListResponse>,
    header: Header,
    count: i64,
}

/// All changes after a revision.
#[derive(Debug)]
pub struct ChangeStream {
    stream: Streaming<v1::WatchResponse>,
    calls: Calls,
    through: u64,
}

/// Some changes.
#[derive(Debug)]
pub struct Batch {
    /// In revision order; may be empty.
    pub changes: Vec<Change>,
    /// Everything up to this revision has been handed out.
    pub through: u64,
}

impl RecordStream {
    pub(super) async fn open(mut stream: Streaming<v1::ListResponse>) -> Result<Self, Error> {
        match piece(&mut stream).await? {
            Some(v1::list_response::Part::Header(header)) => Ok(Self {
                stream,
                header: header.into(),
                count: 0,
            }),
            _ => Err(broken("a list began without its header")),
        }
    }

    /// State of the store; `revision` is the snapshot's.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next records, or `None` after the last.
    ///
    /// # Errors
    /// If the stream broke or is short.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, Error> {
        match piece(&mut self.stream).await? {
            Some(v1::list_response::Part::Chunk(chunk)) => {
                self.count += i64::try_from(chunk.records.len()).unwrap_or(i64::MAX);
                Ok(Some(chunk.records.into_iter().map(Record::from).collect()))
            }
            Some(v1::list_response::Part::Trailer(trailer)) => {
                if trailer.count == self.count && !trailer.more {
                    return Ok(None);
                }
                Err(broken(format!(
                    "a list of {} records came as {}",
                    trailer.count, self.count
                )))
            }
            Some(v1::list_response::Part::Header(_)) | None => {
                Err(broken("a list ended without its trailer"))
            }
        }
    }
}

impl ChangeStream {
    pub(super) const fn new(
        stream: Streaming<v1::WatchResponse>,
        calls: Calls,
        through: u64,
    ) -> Self {
        Self {
            stream,
            calls,
            through,
        }
    }

    /// Waits until the backend has taken the watch on.
    ///
    /// # Errors
    /// As [`ChangeStream::next`].
    pub(crate) async fn first(&mut self) -> Result<(), Error> {
        let first = self.receive().await?;
        match first.body {
            Some(v1::watch_response::Body::Created(_)) => Ok(()),
            _ => Err(broken("a change stream began without its first message")),
        }
    }

    /// Waits for changes or for the word that there are none. Cancel safe.
    ///
    /// # Errors
    /// If the stream broke, was silent for too long, or does not keep its order.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        let message = tokio::time::timeout(SILENCE_TIMEOUT, self.stream.message());
        let Ok(message) = message.await else {
            return Err(Error::new(
                Reason::Unreachable,
                "the storage backend fell silent",
            ));
        };
        let message = message?.ok_or_else(|| broken("the change stream ended"))?;
        self.calls.note_lagging(message.header)?;
        let through = unsigned(message.through_revision);
        let changes: Vec<Change> = match message.body {
            Some(v1::watch_response::Body::Events(events)) => {
                events.events.into_iter().map(Change::from).collect()
            }
            _ => Vec::new(),
        };
        let after = changes.iter().try_fold(self.through, |last, change| {
            (last <= change.revision).then_some(change.revision)
        });
        if through < self.through || after.is_none_or(|last| last > through) {
            return Err(broken("the change stream went back"));
        }
        self.through = through;
        Ok(Batch { changes, through })
    }

    async fn receive(&mut self) -> Result<v1::WatchResponse, Error> {
        let message = tokio::time::timeout(SILENCE_TIMEOUT, self.stream.message());
        let Ok(message) = message.await else {
            return Err(broken("the storage backend fell silent"));
        };
        let mut message = message?.ok_or_else(|| broken("the change stream ended"))?;
        self.calls.note_lagging(message.header.take())?;
        Ok(message)
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

fn broken(message: impl Into<String>) -> Error {
    Error::new(Reason::Unreachable, message)
}
