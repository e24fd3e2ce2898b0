//! Writes travel together: what queues while earlier calls are under way is the next call.

use std::time::Duration;

use backend_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::metadata::AsciiMetadataValue;

use crate::backend::check;
use crate::backend::client::Calls;
use crate::backend::error::{Error, Outcome, Reason};
use crate::backend::record::{Op, Verdict};

/// Most writes that wait for a call; more are shed.
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
/// How long a backend that cannot be reached is tried before its callers are told. Covers the
/// restart of a sidecar.
const UNREACHABLE_PATIENCE: Duration = Duration::from_secs(2);
/// How long the outcome of a broken call is sought.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(15);
/// Pauses between attempts: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);

type Answer = Result<Verdict, Error>;

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
}

#[derive(Debug)]
struct Job {
    op: v1::Op,
    /// See [`Op::found`].
    found: usize,
    /// Of the request, if it has one.
    audit_id: Option<AsciiMetadataValue>,
    answer: oneshot::Sender<Answer>,
}

impl Queue {
    pub(super) async fn write(&self, op: Op) -> Answer {
        let (answer, verdict) = oneshot::channel();
        let job = Job {
            found: op.found,
            audit_id: op.origin.audit_id.parse().ok(),
            op: op.into_wire(),
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
        (Queue(sender), Self { calls, jobs })
    }

    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut calls = JoinSet::new();
        let mut next = None;
        loop {
            while calls.len() >= CALLS {
                calls.join_next().await;
            }
            let first = match next.take() {
                Some(job) => Some(job),
                None => tokio::select! {
                    job = self.jobs.recv() => job,
                    () = cancel.cancelled() => None,
                },
            };
            let Some(first) = first else { break };
            // Requests that are ready to run may have writes for this call.
            tokio::task::yield_now().await;
            let batch;
            (batch, next) = self.collect(first);
            calls.spawn(send(self.calls.clone(), batch));
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
    }

    /// The first job and what else is queued, up to the size of a call; and one that did not fit.
    fn collect(&mut self, first: Job) -> (Vec<Job>, Option<Job>) {
        let (mut bytes, mut answer) = (first.op.value.len(), first.found);
        let mut batch = vec![first];
        while batch.len() < BATCH_OPS {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += job.op.value.len();
            answer += job.found;
            if bytes > BATCH_BYTES || answer > ANSWER_BYTES {
                return (batch, Some(job));
            }
            batch.push(job);
        }
        (batch, None)
    }
}

/// Sends a batch until its verdicts are known, patience ends or nobody waits any more.
async fn send(calls: Calls, mut batch: Vec<Job>) {
    // A caller that left before its write was sent never made it.
    batch.retain(|job| !job.answer.is_closed());
    let mut patience = Patience::new();
    while !batch.is_empty() {
        let ops = batch.iter().map(|job| job.op.clone()).collect();
        let ids = batch.iter().filter_map(|job| job.audit_id.clone());
        let ids: Vec<_> = ids.take(AUDIT_IDS).collect();
        let answered = tokio::select! {
            answered = calls.write(ops, &ids, ATTEMPT_TIMEOUT) => answered,
            () = all_closed(&mut batch) => return,
        };
        let error = match answered {
            Ok(results) => {
                let sent = batch.len();
                let Some(open) = settle(&mut batch, results) else {
                    return;
                };
                if batch.len() < sent {
                    patience.renew();
                }
                open
            }
            Err(error) => error,
        };
        let pause = match patience.after(error) {
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

/// Tells the verdicts to their callers. Writes whose outcome is open stay in the batch, to be asked
/// for again; why the last of them is.
fn settle(batch: &mut Vec<Job>, results: Vec<v1::OpResult>) -> Option<Error> {
    let mut open = None;
    for (job, result) in std::mem::take(batch).into_iter().zip(results) {
        match verdict(&job.op, result) {
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

/// How long a batch is sent again.
struct Patience {
    began: Instant,
    pause: Duration,
    /// Whether any attempt may have been stored.
    outcome: Outcome,
}

impl Patience {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            pause: FIRST_PAUSE,
            outcome: Outcome::NotApplied,
        }
    }

    /// Begins anew, because some of the batch was settled.
    fn renew(&mut self) {
        (self.began, self.pause) = (Instant::now(), FIRST_PAUSE);
    }

    /// The pause before the next attempt, or the error if there is to be none.
    fn after(&mut self, error: Error) -> Result<Duration, Error> {
        if error.outcome == Outcome::Unknown {
            self.outcome = Outcome::Unknown;
        }
        let patience = match (self.outcome, error.reason) {
            (Outcome::Unknown, _) => UNKNOWN_PATIENCE,
            (Outcome::NotApplied, Reason::Unreachable) => UNREACHABLE_PATIENCE,
            (Outcome::NotApplied, _) => return Err(error),
        };
        let pause = self.pause;
        if self.began.elapsed() + pause > patience {
            // An earlier attempt may have been stored, whatever became of the last.
            return Err(Error {
                outcome: self.outcome,
                ..error
            });
        }
        self.pause = (pause * 2).min(LAST_PAUSE);
        Ok(pause)
    }
}

fn verdict(op: &v1::Op, result: v1::OpResult) -> Answer {
    let Some(verdict) = result.verdict else {
        let error = check::broken("the storage driver gave no verdict");
        return Err(Error {
            outcome: Outcome::Unknown,
            ..error
        });
    };
    check::verdict(op, verdict)
}

fn stopped(outcome: Outcome) -> Error {
    let error = Error::new(Reason::Unreachable, "the server is shutting down");
    Error { outcome, ..error }
}
