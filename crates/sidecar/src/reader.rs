//! Readers of streams: how long they are waited for.

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

/// How long a reader may take nothing before it is cut.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a reader that was cut may take nothing before its connection is closed: only that gives
/// back what the transport holds for it.
const LAST_WORD: Duration = Duration::from_secs(10);

/// How long a reader may take nothing once the kit stops.
const STOPPING: Duration = Duration::from_secs(1);

/// Where messages to a reader go.
#[derive(Debug)]
pub(crate) struct Sink<M> {
    queue: mpsc::Sender<Sent<M>>,
    reading: Arc<Reading>,
    streams: Streams,
    connection: Connection,
}

/// Messages as their reader takes them.
#[derive(Debug)]
pub(crate) struct Messages<M> {
    queue: mpsc::Receiver<Sent<M>>,
    /// The last one, which the transport asks to be followed only once it has room again.
    last: Option<Unread>,
}

type Sent<M> = (Result<M, Status>, Unread);

/// A stream to a reader on a connection, with so many messages ready.
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
    /// Hands a message over, in the room that was made for it or in what is there; `false` if the
    /// reader left.
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
            match timeout(PATIENCE, self.queue.send(message)).await {
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
    /// Room for a message of so many bytes, before they are read.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, BackendError> {
        self.streams.room(bytes).await
    }

    /// A place among the lists.
    pub(crate) async fn list(&self) -> Result<Room, BackendError> {
        self.streams.list().await
    }

    /// Waits until the reader left.
    pub(crate) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Waits until others need what the reader does not take, and says why nothing follows.
    pub(crate) async fn cut(&self) -> BackendError {
        self.reading.cut().await;
        too_slow()
    }

    /// Tells a reader why nothing follows. It may have left already. If it does not take even this,
    /// its connection is closed.
    pub(crate) async fn end(self, error: &BackendError, stop: &CancellationToken) {
        let stopping = async {
            stop.cancelled().await;
            sleep(STOPPING).await;
        };
        let told = async {
            let message = (Err(status(error)), self.reading.send(None));
            if self.queue.send(message).await.is_ok() {
                self.queue.closed().await;
            }
        };
        tokio::select! {
            told = timeout(LAST_WORD, told) => if told.is_err() {
                tracing::warn!("a client does not read: its connection is closed");
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
