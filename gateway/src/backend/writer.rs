//! Writes travel together: what queues while earlier calls are under way is the next call.

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

/// Writes between two looks of [`Writer`], which takes them in all the time; more are shed. Those that wait are
/// bounded by the requests that are served at once ([`crate::serving::limits`]).
const QUEUE: usize = 1024;
/// Most writes in one call, most bytes of their values, and of the records that are there by now:
/// the answer shows what was deleted or stood in the way, and must fit into one message.
const BATCH_OPS: usize = 128;
const BATCH_BYTES: usize = 4 << 20;
const ANSWER_BYTES: usize = 8 << 20;
/// Calls under way at the same time. More than one, so that a large value does not hold up others.
const CALLS: usize = 4;
/// Longest wait for one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a backend that cannot be reached is tried before its callers get an error. Covers the
/// restart of a sidecar.
const UNREACHABLE_RETRY_BUDGET: Duration = Duration::from_secs(2);
/// How long the outcome of a broken call is sought.
const UNKNOWN_RETRY_BUDGET: Duration = Duration::from_secs(15);
/// Pauses between attempts: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);

type Answer = Result<Verdict<Record>, Error>;

/// Most audit ids that a call carries: they are 36 bytes each, and the driver's log line has room for
/// some.
const AUDIT_IDS: usize = 16;

/// Takes writes.
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
    /// Under which the driver remembers its verdict.
    id: Bytes,
    /// See [`Backend::write`](crate::backend::Backend::write).
    found: usize,
    /// Of the request, if it has one.
    audit_id: Option<AsciiMetadataValue>,
    answer: oneshot::Sender<Answer>,
}

/// Whose writes take turns: a user's over a connection.
#[derive(Clone, Debug)]
struct Flow(Arc<Origin>);

impl Queue {
    pub(super) async fn write(&self, op: WriteOp, found: usize) -> Answer {
        let (answer, verdict) = oneshot::channel();
        let job = Job {
            id: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
            found,
            audit_id: op.origin.audit_id.parse().ok(),
            op,
            answer,
        };
        self.0.try_send(job).map_err(|refused| match refused {
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
                got = self.jobs.recv_many(&mut arrived, QUEUE) => {
                    if got == 0 {
                        break;
                    }
                    // Requests that are ready to run may have writes for this call.
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

    /// What is next, up to the size of a call. A caller that left before its write was sent never made it.
    fn collect(&mut self) -> Vec<Job> {
        let (mut bytes, mut answer, mut batch) = (0, 0, Vec::new());
        while let Some(job) = self.waiting.pop_if(|job| {
            let fits = bytes + job.op.size() <= BATCH_BYTES && answer + job.found <= ANSWER_BYTES;
            batch.is_empty() || fits && batch.len() < BATCH_OPS
        }) {
            bytes += job.op.size();
            answer += job.found;
            batch.push(job);
        }
        batch
    }
}

impl Waiter for Job {
    fn has_left(&self) -> bool {
        self.answer.is_closed()
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

/// Sends a batch until its verdicts are known, its retry budget is spent or no caller waits.
async fn send(calls: Calls, mut batch: Vec<Job>) {
    let mut budget = RetryBudget::new();
    while !batch.is_empty() {
        let ops = batch.iter().map(|job| job.op.to_wire(job.id.clone()));
        let ids = batch.iter().filter_map(|job| job.audit_id.clone());
        let ids: Vec<_> = ids.take(AUDIT_IDS).collect();
        let answered = tokio::select! {
            answered = calls.write(ops.collect(), &ids, ATTEMPT_TIMEOUT) => answered,
            () = all_closed(&mut batch) => return,
        };
        let error = match answered {
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
                    let _ = job.answer.send(Err(error.clone()));
                }
                return;
            }
        };
        tracing::debug!(writes = batch.len(), "writes are sent again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = all_closed(&mut batch) => return,
        }
    }
}

/// Waits until every caller has left.
async fn all_closed(batch: &mut [Job]) {
    for job in batch {
        job.answer.closed().await;
    }
}

/// Sends the verdicts to their callers. Writes whose outcome is open stay in the batch, to be asked
/// for again; why the last of them is.
fn settle(batch: &mut Vec<Job>, results: Vec<v1::OpResult>) -> Option<Error> {
    let mut open = None;
    for (job, result) in std::mem::take(batch).into_iter().zip(results) {
        match check::verdict(&job.op, result) {
            Err(error) if error.outcome == Outcome::Unknown => {
                open = Some(error);
                batch.push(job);
            }
            answer => {
                let _ = job.answer.send(answer);
            }
        }
    }
    open
}

fn backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LAST_PAUSE)
}

/// Time for which a batch is retried.
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

    /// Restarts the budget, because a part of the batch has its verdict.
    fn renew(&mut self) {
        (self.began, self.pauses) = (Instant::now(), backoff());
    }

    /// The pause before the next attempt, or the error if there is to be none.
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
            // An earlier attempt may have been stored, whatever became of the last.
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
