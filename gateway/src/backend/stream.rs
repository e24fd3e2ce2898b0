//! The stream of changes.

use std::time::Duration;

use api_types::revision::Revision;
use backend_proto::v1;
use tonic::Streaming;

use crate::backend::calls::Calls;
use crate::backend::check;
use crate::backend::error::{Error, Reason};
use crate::backend::record::Change;

/// Deadline of the next message of the change stream: five intervals of progress messages.
pub(crate) const SILENCE_TIMEOUT: Duration = Duration::from_millis(2500);

/// All changes after a revision.
#[derive(Debug)]
pub struct ChangeStream {
    stream: Streaming<v1::WatchResponse>,
    calls: Calls,
    up_to_revision: Revision,
}

/// A message of the change stream.
#[derive(Debug)]
pub struct Batch {
    /// In revision order; may be empty.
    pub changes: Vec<Change>,
    /// All changes up to this revision have been delivered.
    pub up_to_revision: Revision,
}

impl ChangeStream {
    pub(super) const fn new(
        stream: Streaming<v1::WatchResponse>,
        calls: Calls,
        up_to_revision: Revision,
    ) -> Self {
        Self {
            stream,
            calls,
            up_to_revision,
        }
    }

    /// Waits until the backend has started the watch.
    ///
    /// # Errors
    /// As [`ChangeStream::next`].
    pub(crate) async fn first(&mut self) -> Result<(), Error> {
        let first = self.receive().await?;
        match first.body {
            Some(v1::watch_response::Body::Created(_)) => Ok(()),
            _ => Err(check::broken(
                "a change stream does not start with its first message",
            )),
        }
    }

    /// Waits for changes or progress. Cancel safe.
    ///
    /// # Errors
    /// If the stream breaks, sends no message before the deadline, or is not in order.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        let message = tokio::time::timeout(SILENCE_TIMEOUT, self.stream.message());
        let Ok(message) = message.await else {
            return Err(silent());
        };
        let message = message?.ok_or_else(ended)?;
        let header = self.calls.note_lagging(message.header)?;
        let up_to_revision = check::revision(message.through_revision)?;
        let changes = match message.body {
            Some(v1::watch_response::Body::Events(events)) => events
                .events
                .into_iter()
                .map(check::change)
                .collect::<Result<Vec<_>, _>>()?,
            _ => Vec::new(),
        };
        self.check_order(&changes, up_to_revision, header.revision)?;
        self.up_to_revision = up_to_revision;
        Ok(Batch {
            changes,
            up_to_revision,
        })
    }

    /// All changes of a revision are in one message, so each is above those of earlier messages.
    fn check_order(
        &self,
        changes: &[Change],
        up_to_revision: Revision,
        newest: Revision,
    ) -> Result<(), Error> {
        let revisions = || changes.iter().map(Change::revision);
        let begins_after = revisions()
            .next()
            .is_none_or(|first| first > self.up_to_revision);
        if !begins_after || !revisions().is_sorted() {
            return Err(check::broken("the change stream is not in revision order"));
        }
        let reached = revisions().next_back().unwrap_or(self.up_to_revision);
        if up_to_revision < reached || up_to_revision > newest {
            return Err(check::broken(
                "the change stream reported a revision below its changes or above the store's",
            ));
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<v1::WatchResponse, Error> {
        let message = tokio::time::timeout(SILENCE_TIMEOUT, self.stream.message());
        let Ok(message) = message.await else {
            return Err(silent());
        };
        let mut message = message?.ok_or_else(ended)?;
        self.calls.note_lagging(message.header.take())?;
        Ok(message)
    }
}

fn silent() -> Error {
    let timeout = SILENCE_TIMEOUT.as_secs_f32();
    let message = format!("no message from the storage backend within {timeout} s");
    Error::new(Reason::Unreachable, message)
}

fn ended() -> Error {
    Error::new(Reason::Unreachable, "the change stream ended")
}
