//! Batches of writes: the writes that queue during earlier calls form the next call.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use backend_proto::v1;
use backoff::Backoff;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::metadata::AsciiMetadataValue;

use crate::backend::calls::Calls;
use crate::backend::check;
use crate::backend::error::{Error, Outcome, Reason};
use crate::backend::record::{Origin, Record, Verdict, WriteOp};
use crate::fair_queue::{FairQueue, First, Waiter};
use crate::telemetry::trace;

/// Capacity of the channel to [`Writer`], which empties it continuously; excess writes are
/// rejected. The concurrent requests bound the waiting writes ([`crate::serving::limits`]).
const QUEUE: usize = 1024;
/// Largest number of writes in one call.
const BATCH_OPS: usize = 128;
/// Largest total of their values, bytes.
const BATCH_BYTES: usize = 4 << 20;
/// Largest total of the stored records, bytes: the response contains deleted and conflicting
/// records, and must fit into one message.
const RESPONSE_BYTES: usize = 8 << 20;
/// Concurrent calls. More than one, so that a large value does not delay other writes.
const CALLS: usize = 4;
/// Deadline of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Retries of writes that reached no backend. Covers the restart of a sidecar.
const UNREACHABLE_RETRY_BUDGET: Duration = Duration::from_secs(2);
/// Retries of writes whose outcome is unknown.
const UNKNOWN_RETRY_BUDGET: Duration = Duration::from_secs(15);
/// The first and the longest pause between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);

type WriteResult = Result<Verdict<Record>, Error>;

/// Largest number of audit IDs in one call. Each has 36 bytes, and the driver logs them in one
/// line.
const AUDIT_IDS: usize = 16;

/// Accepts writes.
#[derive(Clone, Debug)]
pub(super) struct Queue(mpsc::Sender<Job>);

/// Sends them.
#[derive(Debug)]
pub(super) struct Writer {
    calls: Calls,
    jobs: mpsc::Receiver<Job>,
    waiting: FairQueue<Flow, Job>,
}

#[derive(Debug)]
struct Job {
    op: WriteOp,
    /// The op id, under which the driver stores the verdict.
    id: Bytes,
    /// See [`Backend::write`](crate::backend::Backend::write).
    stored_bytes: usize,
    /// That of the request, if it has one.
    audit_id: Option<AsciiMetadataValue>,
    result: oneshot::Sender<WriteResult>,
}

/// The owner of a write: a user on a connection. Owners take turns.
#[derive(Clone, Debug)]
struct Flow(Arc<Origin>);

impl Queue {
    pub(super) async fn write(&self, op: WriteOp, stored_bytes: usize) -> WriteResult {
        let (result, verdict) = oneshot::channel();
        let job = Job {
            id: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
            stored_bytes,
            audit_id: op.origin.audit_id.parse().ok(),
            op,
            result,
        };
        self.0.try_send(job).map_err(|rejected| match rejected {
            mpsc::error::TrySendError::Full(_) => Error::new(
                Reason::Overloaded,
                "too many writes wait for the storage backend",
            ),
            mpsc::error::TrySendError::Closed(_) => stopped(Outcome::NotApplied),
        })?;
        verdict
            .await
            .unwrap_or_else(|_| Err(stopped(Outcome::Unknown)))
    }
}

impl Writer {
    pub(super) fn new(calls: Calls) -> (Queue, Self) {
        let (sender, jobs) = mpsc::channel(QUEUE);
        let writer = Self {
            calls,
            jobs,
            waiting: FairQueue::new(First::Oldest),
        };
        (Queue(sender), writer)
    }

    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let (mut calls, mut arrived) = (JoinSet::new(), Vec::new());
        loop {
            while calls.len() < CALLS && !self.waiting.is_empty() {
                let batch = self.collect();
                calls.spawn(send(self.calls.clone(), batch));
            }
            tokio::select! {
                received = self.jobs.recv_many(&mut arrived, QUEUE) => {
                    if received == 0 {
                        break;
                    }
                    // Other runnable requests may add writes to this call.
                    tokio::task::yield_now().await;
                    while let Ok(job) = self.jobs.try_recv() {
                        arrived.push(job);
                    }
                    for job in arrived.drain(..) {
                        self.waiting.push(Flow(Arc::clone(&job.op.origin)), job);
                    }
                }
                Some(_) = calls.join_next() => {}
                () = cancel.cancelled() => break,
            }
        }
        while calls.join_next().await.is_some() {}
    }

    /// The next batch. A write whose caller has left before is not sent.
    fn collect(&mut self) -> Vec<Job> {
        let (mut bytes, mut response, mut batch) = (0, 0, Vec::new());
        while let Some(job) = self.waiting.pop_if(|job| {
            let fits = bytes + job.op.size() <= BATCH_BYTES
                && response + job.stored_bytes <= RESPONSE_BYTES;
            batch.is_empty() || fits && batch.len() < BATCH_OPS
        }) {
            bytes += job.op.size();
            response += job.stored_bytes;
            batch.push(job);
        }
        batch
    }
}

impl Waiter for Job {
    fn has_left(&self) -> bool {
        self.result.is_closed()
    }
}

impl Flow {
    fn key(&self) -> (u64, &str) {
        (self.0.connection, &self.0.user)
    }
}

impl PartialEq for Flow {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Flow {}

impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Sends a batch until all verdicts arrived, the retry budget is exhausted, or all callers have
/// left.
async fn send(calls: Calls, mut batch: Vec<Job>) {
    let mut budget = RetryBudget::new();
    while !batch.is_empty() {
        let ops = batch.iter().map(|job| job.op.to_wire(job.id.clone()));
        let ids = batch.iter().filter_map(|job| job.audit_id.clone());
        let ids: Vec<_> = ids.take(AUDIT_IDS).collect();
        let mut spans = spans(&batch);
        let parent = spans.first().map(trace::Span::context);
        let response = tokio::select! {
            response = calls.write(ops.collect(), &ids, parent, ATTEMPT_TIMEOUT) => response,
            () = all_closed(&mut batch) => return,
        };
        if let Err(error) = &response {
            spans
                .iter_mut()
                .for_each(|span| span.fail(error.to_string()));
        }
        drop(spans);
        let error = match response {
            Ok(results) => {
                let sent = batch.len();
                let Some(open) = settle(&mut batch, results) else {
                    return;
                };
                if batch.len() < sent {
                    budget.renew();
                }
                open
            }
            Err(error) => error,
        };
        let pause = match budget.after(error) {
            Ok(pause) => pause,
            Err(error) => {
                for job in batch {
                    let _ = job.result.send(Err(error.clone()));
                }
                return;
            }
        };
        tracing::debug!(writes = batch.len(), "retrying writes");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = all_closed(&mut batch) => return,
        }
    }
}

/// A span of the call for each sampled request. The driver gets the first as the parent of its own,
/// because a call has one parent.
fn spans(batch: &[Job]) -> Vec<trace::Span> {
    let parents = batch.iter().filter_map(|job| job.op.origin.span.as_ref());
    parents
        .map(|parent| parent.client("ark.backend.v1.Backend/Write"))
        .collect()
}

/// Waits until every caller has left.
async fn all_closed(batch: &mut [Job]) {
    for job in batch {
        job.result.closed().await;
    }
}

/// Sends the verdicts to their callers. Writes whose outcome is unknown stay in the batch; returns
/// the error of the last of them.
fn settle(batch: &mut Vec<Job>, results: Vec<v1::OpResult>) -> Option<Error> {
    let mut open = None;
    for (job, result) in std::mem::take(batch).into_iter().zip(results) {
        match check::verdict(&job.op, result) {
            Err(error) if error.outcome == Outcome::Unknown => {
                open = Some(error);
                batch.push(job);
            }
            result => {
                let _ = job.result.send(result);
            }
        }
    }
    open
}

fn backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LAST_PAUSE)
}

/// The time in which a batch is retried.
struct RetryBudget {
    began: Instant,
    pauses: Backoff,
    /// Whether any attempt may have been stored.
    outcome: Outcome,
}

impl RetryBudget {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            pauses: backoff(),
            outcome: Outcome::NotApplied,
        }
    }

    /// Restarts the budget, because some writes of the batch have their verdict.
    fn renew(&mut self) {
        (self.began, self.pauses) = (Instant::now(), backoff());
    }

    /// The pause before the next attempt.
    ///
    /// # Errors
    /// The error of the batch, if it is not retried.
    fn after(&mut self, error: Error) -> Result<Duration, Error> {
        if error.outcome == Outcome::Unknown {
            self.outcome = Outcome::Unknown;
        }
        let budget = match (self.outcome, error.reason) {
            (Outcome::Unknown, _) => UNKNOWN_RETRY_BUDGET,
            (Outcome::NotApplied, Reason::Unreachable) => UNREACHABLE_RETRY_BUDGET,
            (Outcome::NotApplied, _) => return Err(error),
        };
        let pause = self.pauses.next_pause();
        if self.began.elapsed() + pause > budget {
            // An earlier attempt may have been stored, even if the last one was not.
            return Err(Error {
                outcome: self.outcome,
                ..error
            });
        }
        Ok(pause)
    }
}

fn stopped(outcome: Outcome) -> Error {
    let error = Error::new(Reason::Unreachable, "the server is shutting down");
    Error { outcome, ..error }
}
