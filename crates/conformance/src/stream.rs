//! A watch whose messages are checked against the rules of watches.

mod rules;

use std::time::Duration;

use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{Event, WatchRequest, WatchResponse};
use tokio::time::timeout;
use tonic::{Status, Streaming};

pub(crate) use self::rules::Rules;
use crate::check::{Check, Stop, some};

/// Timeout of the next message.
const SILENCE: Duration = Duration::from_secs(10);

/// An open watch.
pub struct Stream {
    messages: Streaming<WatchResponse>,
    rules: Rules,
}

/// Content of one message.
#[derive(Clone, Debug)]
pub struct WatchMessage {
    /// Events in revision order.
    pub events: Vec<Event>,
    /// Revision up to which everything was sent.
    pub up_to_revision: i64,
    /// Whether the message has no events.
    pub progress: bool,
}

// === impl Stream ===

impl Stream {
    /// Reads the first message, which must contain the start of the watch.
    pub(crate) async fn begin(
        mut messages: Streaming<WatchResponse>,
        request: WatchRequest,
    ) -> Check<Result<Self, Status>> {
        let first = match timeout(SILENCE, messages.message()).await {
            Ok(Ok(first)) => some(first, "first message of a watch")?,
            Ok(Err(status)) => return Ok(Err(status)),
            Err(_) => return Err(silent()),
        };
        let rules = Rules::begin(request, &first)?;
        Ok(Ok(Self { messages, rules }))
    }

    /// Returns the revision up to which everything was received.
    pub(crate) fn up_to_revision(&self) -> i64 {
        self.rules.up_to_revision()
    }

    /// Returns the next message, or the error that ends the watch.
    ///
    /// # Errors
    /// If it violated the rules.
    pub async fn next(&mut self) -> Check<Result<WatchMessage, Status>> {
        let message = match timeout(SILENCE, self.messages.message()).await {
            Ok(Ok(message)) => some(message, "an error at the end of a watch")?,
            Ok(Err(status)) => return Ok(Err(status)),
            Err(_) => return Err(silent()),
        };
        self.rules.check(&message)?;
        let up_to_revision = message.through_revision;
        Ok(Ok(match message.body {
            Some(Body::Events(batch)) => WatchMessage {
                events: batch.events,
                up_to_revision,
                progress: false,
            },
            _ => WatchMessage {
                events: Vec::new(),
                up_to_revision,
                progress: true,
            },
        }))
    }

    /// Returns all events up to a revision, which must be reached.
    pub(crate) async fn until(&mut self, revision: i64) -> Check<Vec<Event>> {
        let mut events = Vec::new();
        while self.up_to_revision() < revision {
            events.extend(self.next().await??.events);
        }
        Ok(events)
    }
}

fn silent() -> Stop {
    Stop::Failed(format!(
        "a watch sent nothing, not even progress, for {} s",
        SILENCE.as_secs()
    ))
}
