//! The stream of changes.

use std::time::Duration;

use api_types::revision::Revision;
use backend_proto::v1;
use tonic::Streaming;

use crate::backend::calls::Calls;
use crate::backend::check;
use crate::backend::error::{Error, Reason};
use crate::backend::record::Change;

/// Longest silence of the change stream; the backend was asked to say something far more often.
pub(crate) const SILENCE_TIMEOUT: Duration = Duration::from_millis(2500);

/// All changes after a revision.
#[derive(Debug)]
pub struct ChangeStream {
    stream: Streaming<v1::WatchResponse>,
    calls: Calls,
    through: Revision,
}

/// Some changes.
#[derive(Debug)]
pub struct Batch {
    /// In revision order; may be empty.
    pub changes: Vec<Change>,
    /// Everything up to this revision has been handed out.
    pub through: Revision,
}

impl ChangeStream {
    pub(super) const fn new(
        stream: Streaming<v1::WatchResponse>,
        calls: Calls,
        through: Revision,
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
            _ => Err(check::broken(
                "a change stream began without its first message",
            )),
        }
    }

    /// Waits for changes or for the word that there are none. Cancel safe.
    ///
    /// # Errors
    /// If the stream broke, was silent for too long, or does not keep its order.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        let message = tokio::time::timeout(SILENCE_TIMEOUT, self.stream.message());
        let Ok(message) = message.await else {
            return Err(silent());
        };
        let message = message?.ok_or_else(ended)?;
        let header = self.calls.note_lagging(message.header)?;
        let through = check::revision(message.through_revision)?;
        let changes = match message.body {
            Some(v1::watch_response::Body::Events(events)) => events
                .events
                .into_iter()
                .map(check::change)
                .collect::<Result<Vec<_>, _>>()?,
            _ => Vec::new(),
        };
        self.check_order(&changes, through, header.revision)?;
        self.through = through;
        Ok(Batch { changes, through })
    }

    /// All changes of a revision are in one message: each is above what was handed out before.
    fn check_order(
        &self,
        changes: &[Change],
        through: Revision,
        newest: Revision,
    ) -> Result<(), Error> {
        let revisions = || changes.iter().map(Change::revision);
        let begins_after = revisions().next().is_none_or(|first| first > self.through);
        if !begins_after || !revisions().is_sorted() {
            return Err(check::broken("the change stream went back"));
        }
        let reached = revisions().next_back().unwrap_or(self.through);
        if through < reached || through > newest {
            return Err(check::broken(
                "the change stream does not say how far it came",
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
    Error::new(Reason::Unreachable, "the storage backend fell silent")
}

fn ended() -> Error {
    Error::new(Reason::Unreachable, "the change stream ended")
}
