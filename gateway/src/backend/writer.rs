//! Writes travel together: what queues while earlier calls are under way is the next call.

use std::time::Duration;

use backend_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::client::Calls;
use crate::backend::error::{Error, Outcome, Reason};
use crate::backend::record::{Op, Verdict};

/// Most writes that wait for a call; more are shed.
const QUEUE: usize = 1024;
/// Most writes in one call, and most bytes of their values.
const BATCH_OPS: usize = 128;
const BATCH_BYTES: usize = 4 << 20;
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
    answer: oneshot::Sender<Answer>,
}

impl Queue {
    pub(super) async fn write(&self, op: Op) -> Answer {
        let (answer, verdict) = oneshot::channel();
        let job = Job {
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
            let batch;
            (batch, next) = self.collect(first);
            calls.spawn(send(self.calls.clone(), batch));
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
    }

    /// The first job and what else is queued, up to the size of a call; and one that did not fit.
    fn collect(&mut self, first: Job) -> (Vec<Job>, Option<Job>) {
        let mut bytes = first.op.value.len();
        let mut batch = vec![first];
        while batch.len() < BATCH_OPS {
            let Ok(job) = self.jobs.try_recv() else { break };
            bytes += job.op.value.len();
            if bytes > BATCH_BYTES {
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
    if batch.is_empty() {
        return;
    }
    let (ops, mut answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|job| (job.op, job.answer)).unzip();
    let verdicts = tokio::select! {
        verdicts = verdicts(&calls, &ops) => verdicts,
        () = all_closed(&mut answers) => return,
    };
    match verdicts {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                let _ = answer.send(verdict(result));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

/// Waits until every caller has left.
async fn all_closed(answers: &mut [oneshot::Sender<Answer>]) {
    for answer in answers {
        answer.closed().await;
    }
}

async fn verdicts(calls: &Calls, ops: &[v1::Op]) -> Result<Vec<v1::OpResult>, Error> {
    let began = Instant::now();
    let (mut pause, mut outcome) = (FIRST_PAUSE, Outcome::NotApplied);
    loop {
        let error = match calls.write(ops.to_vec(), ATTEMPT_TIMEOUT).await {
            Ok(results) => return Ok(results),
            Err(error) => error,
        };
        if error.outcome == Outcome::Unknown {
            outcome = Outcome::Unknown;
        }
        let patience = match (outcome, error.reason) {
            (Outcome::Unknown, _) => UNKNOWN_PATIENCE,
            (Outcome::NotApplied, Reason::Unreachable) => UNREACHABLE_PATIENCE,
            (Outcome::NotApplied, _) => return Err(error),
        };
        if began.elapsed() + pause > patience {
            // An earlier attempt may have been stored, whatever became of the last.
            return Err(Error { outcome, ..error });
        }
        tracing::debug!(%error, writes = ops.len(), "write is sent again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn verdict(result: v1::OpResult) -> Answer {
    match result.verdict {
        Some(v1::op_result::Verdict::Applied(applied)) => Ok(applied.into()),
        Some(v1::op_result::Verdict::Conflict(conflict)) => Ok(conflict.into()),
        Some(v1::op_result::Verdict::Refused(error)) => {
            // The operation alone was refused: nothing was stored, whatever the detail says.
            Err(Error {
                outcome: Outcome::NotApplied,
                ..Error::from_wire(error)
            })
        }
        None => {
            let error = Error::new(Reason::Internal, "the storage driver gave no verdict");
            Err(Error {
                outcome: Outcome::Unknown,
                ..error
            })
        }
    }
}

fn stopped(outcome: Outcome) -> Error {
    let error = Error::new(Reason::Unreachable, "the server is shutting down");
    Error { outcome, ..error }
}
