//! Reads of the current revision. Concurrent readers share one call.

use api_types::revision::Revision;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::backend::calls::Calls;
use crate::backend::error::{Error, Reason};

/// Capacity of the channel to [`RevisionTask`], which empties it continuously; excess readers are
/// rejected.
const QUEUE: usize = 4096;
/// Number of waiting readers at which those whose caller has left are removed. The concurrent
/// requests bound the others ([`crate::serving::limits`]).
const PRUNE_AT: usize = 4096;

/// Attempts of one read if its connection breaks, so that the restart of a backend fails no reader:
/// the connection may break during the call, be found closed, and be established again.
const ATTEMPTS: u32 = 3;

type ReadResult = Result<Revision, Error>;
type Reader = oneshot::Sender<ReadResult>;

/// Reads the current revision; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct RevisionReader(mpsc::Sender<Reader>);

/// Makes the calls for all readers.
#[derive(Debug)]
pub(super) struct RevisionTask {
    calls: Calls,
    readers: mpsc::Receiver<Reader>,
}

impl RevisionReader {
    pub(super) async fn read(&self) -> ReadResult {
        let (reader, result) = oneshot::channel();
        self.0.try_send(reader).map_err(|rejected| match rejected {
            mpsc::error::TrySendError::Full(_) => Error::new(
                Reason::Overloaded,
                "too many reads wait for the storage backend",
            ),
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        result.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl RevisionTask {
    pub(super) fn new(calls: Calls) -> (RevisionReader, Self) {
        let (sender, readers) = mpsc::channel(QUEUE);
        (RevisionReader(sender), Self { calls, readers })
    }

    /// Makes one call at a time, for all readers that were waiting when it started. Readers that
    /// arrive during a call wait for the next one, because the response may be older than their
    /// request.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut next = Vec::new();
        loop {
            if next.is_empty() {
                let received = tokio::select! {
                    received = self.readers.recv_many(&mut next, QUEUE) => received,
                    () = cancel.cancelled() => 0,
                };
                if received == 0 {
                    return;
                }
            }
            let mut waiting = std::mem::take(&mut next);
            waiting.retain(|reader| !reader.is_closed());
            if waiting.is_empty() {
                continue;
            }
            let result = tokio::select! {
                result = read(&self.calls) => result,
                () = all_closed(&mut waiting) => continue,
                () = collect(&mut self.readers, &mut next) => return,
            };
            for reader in waiting {
                // Fails if the caller has left.
                let _ = reader.send(result.clone());
            }
        }
    }
}

/// Receives readers until the channel is closed. During a call, clients that disconnect early would
/// otherwise fill the channel, and other readers would be rejected.
async fn collect(readers: &mut mpsc::Receiver<Reader>, next: &mut Vec<Reader>) {
    let mut prune_at = PRUNE_AT;
    while readers.recv_many(next, QUEUE).await > 0 {
        if next.len() > prune_at {
            next.retain(|reader| !reader.is_closed());
            prune_at = PRUNE_AT.max(2 * next.len());
        }
    }
}

async fn read(calls: &Calls) -> ReadResult {
    let mut result = calls.current_revision().await;
    for _ in 1..ATTEMPTS {
        match &result {
            Err(error) if error.reason == Reason::Unreachable => {
                result = calls.current_revision().await;
            }
            _ => break,
        }
    }
    result
}

/// Waits until the callers of all readers have left.
async fn all_closed(readers: &mut [Reader]) {
    for reader in readers {
        reader.closed().await;
    }
}

fn stopped() -> Error {
    Error::new(Reason::Unreachable, "the server is shutting down")
}
