//! Clients that read streams, with timeouts for clients that stop reading.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use backend_proto::v1::BackendError;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::connection::Connection;
use crate::refuse::{closing, status, too_slow};
use crate::streams::{Reading, Room, Streams, Unread};

/// How long a reader may accept no message before its stream is ended.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the reader of an ended stream may accept no message before its connection is closed.
/// Only closing releases what the transport buffers for it.
const FINAL_ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// As [`READ_TIMEOUT`], during shutdown.
const SHUTDOWN_READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends messages to a reader.
#[derive(Debug)]
pub(crate) struct Sink<M> {
    queue: mpsc::Sender<Sent<M>>,
    reading: Arc<Reading>,
    streams: Streams,
    connection: Connection,
}

/// Messages, in the order in which the transport polls them.
#[derive(Debug)]
pub(crate) struct Messages<M> {
    queue: mpsc::Receiver<Sent<M>>,
    /// The message yielded last. It counts as unread until the next poll, which the transport makes
    /// only once it has room.
    last: Option<Unread>,
}

type Sent<M> = (Result<M, Status>, Unread);

/// Creates a stream to a reader on a connection, with the given number of buffered messages.
pub(crate) fn channel<M>(
    streams: &Streams,
    connection: Connection,
    ahead: usize,
) -> Result<(Sink<M>, Messages<M>), BackendError> {
    let reading = streams.open()?;
    let (sender, receiver) = mpsc::channel(ahead);
    let sink = Sink {
        queue: sender,
        reading,
        streams: streams.clone(),
        connection,
    };
    let messages = Messages {
        queue: receiver,
        last: None,
    };
    Ok((sink, messages))
}

// === impl Sink ===

impl<M: prost::Message> Sink<M> {
    /// Sends a message, using the reserved room if given, else reserving some; `false` if the
    /// reader disconnected.
    pub(crate) async fn send(
        &self,
        message: M,
        room: Option<Room>,
        stop: &CancellationToken,
    ) -> Result<bool, BackendError> {
        let sending = async {
            let room = match room {
                Some(room) => room,
                None => self.streams.room(message.encoded_len()).await?,
            };
            let message = (Ok(message), self.reading.send(Some(room)));
            match timeout(READ_TIMEOUT, self.queue.send(message)).await {
                Ok(sent) => Ok(sent.is_ok()),
                Err(_) => Err(too_slow()),
            }
        };
        tokio::select! {
            () = stop.cancelled() => Err(closing()),
            () = self.reading.cut() => Err(too_slow()),
            sent = sending => sent,
        }
    }
}

impl<M> Sink<M> {
    /// Reserves room for a message of `bytes`, before it is read from the driver.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, BackendError> {
        self.streams.room(bytes).await
    }

    /// Acquires a slot for a list.
    pub(crate) async fn list(&self) -> Result<Room, BackendError> {
        self.streams.list().await
    }

    /// Waits until the reader disconnects.
    pub(crate) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Waits until the room held by this reader is needed for others, and returns the error to end
    /// its stream with.
    pub(crate) async fn cut(&self) -> BackendError {
        self.reading.cut().await;
        too_slow()
    }

    /// Ends the stream with an error. The reader may be disconnected already. If it does not accept
    /// even this message, its connection is closed.
    pub(crate) async fn end(self, error: &BackendError, stop: &CancellationToken) {
        let stopping = async {
            stop.cancelled().await;
            sleep(SHUTDOWN_READ_TIMEOUT).await;
        };
        let last_message = async {
            let message = (Err(status(error)), self.reading.send(None));
            if self.queue.send(message).await.is_ok() {
                self.queue.closed().await;
            }
        };
        tokio::select! {
            last_message = timeout(FINAL_ERROR_TIMEOUT, last_message) => if last_message.is_err() {
                tracing::warn!("client stopped reading: closing its connection");
                self.connection.close();
            },
            () = stopping => {}
        }
    }
}

// === impl Messages ===

impl<M> Stream for Messages<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.last = None;
        let next = std::task::ready!(self.queue.poll_recv(cx));
        Poll::Ready(next.map(|(message, unread)| {
            self.last = Some(unread);
            message
        }))
    }
}

#[cfg(test)]
mod tests;
