//! Natural batching: the next batch is whatever queued while the last one committed.
//!
//! There is no timer: a lone writer pays no wait, and many writers share one flush.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use backend_proto::limits::MAX_MESSAGE_BYTES;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::{Applied, Conflict, Verdict};
use backend_proto::v1::{BackendError, Header, Key, Limits, Op, OpResult, Record, WriteResponse};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::driver::Driver;
use crate::log_follower::LogFollower;
use crate::metrics::Metrics;
use crate::refuse::{closing, error, lost, overloaded};

/// Upper bounds of one batch. Both are approximate by one operation; they bound the time that a
/// commit holds the store.
const BATCH_OPS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

/// Soft limit, in bytes, of the records in one response, and of the records that the deletes of one
/// batch are expected to return. Half of the largest gRPC message, so that the one record that may
/// exceed it still fits.
const ANSWER_BYTES: usize = MAX_MESSAGE_BYTES / 2;

/// Limits of the queue, in requests and in KiB of values. A full queue rejects with `OVERLOADED`,
/// so that memory stays bounded and clients back off.
const QUEUE_REQUESTS: usize = 4096;
const QUEUE_KIB: usize = 192 << 10;

/// Sends requests to the batcher.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    requests: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    limits: Limits,
}

/// Groups requests into batches; one per process, because commits are serialized.
#[derive(Debug)]
pub(crate) struct Batcher {
    requests: mpsc::Receiver<Request>,
    /// Waiting operations, in order of arrival.
    waiting: VecDeque<Unit>,
    /// Requests that still lack a verdict for an operation.
    open: HashMap<u64, Open>,
    next: u64,
    /// Size in bytes of the largest record deleted recently: the estimate for the next delete,
    /// whose record size is unknown before it commits.
    deleted: usize,
}

#[derive(Debug)]
struct Request {
    ops: Vec<Op>,
    reply: oneshot::Sender<Result<WriteResponse, BackendError>>,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Unit {
    op: Op,
    request: u64,
    index: usize,
}

#[derive(Debug)]
struct Open {
    results: Vec<Option<OpResult>>,
    /// Bytes of the records in `results`.
    bytes: usize,
    missing: usize,
    /// Error of the failed calls, if all calls failed so far.
    failed: Option<BackendError>,
    any_verdict: bool,
    reply: oneshot::Sender<Result<WriteResponse, BackendError>>,
    _room: OwnedSemaphorePermit,
}

// === impl Queue ===

/// Creates a queue and its batcher.
pub(crate) fn new(limits: Limits) -> (Queue, Batcher) {
    let (sender, requests) = mpsc::channel(QUEUE_REQUESTS);
    let queue = Queue {
        requests: sender,
        room: Arc::new(Semaphore::new(QUEUE_KIB)),
        limits,
    };
    let batcher = Batcher {
        requests,
        waiting: VecDeque::new(),
        open: HashMap::new(),
        next: 0,
        deleted: 0,
    };
    (queue, batcher)
}

impl Queue {
    /// Applies operations; returns when each has its verdict.
    pub(crate) async fn write(&self, ops: Vec<Op>) -> Result<WriteResponse, BackendError> {
        let bytes: usize = ops.iter().map(|op| op.value.len()).sum();
        let most = |limit: i64| usize::try_from(limit).unwrap_or(usize::MAX);
        if ops.len() > most(self.limits.write_ops) || bytes > most(self.limits.write_bytes) {
            return Err(error(
                Reason::TooLarge,
                "the request is above the limits of Describe",
            ));
        }
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(kib);
        let room = room.map_err(|_| overloaded("too many bytes wait to be written"))?;
        let (reply, received) = oneshot::channel();
        let request = Request {
            ops,
            reply,
            _room: room,
        };
        self.requests.try_send(request).map_err(|rejected| {
            if matches!(rejected, mpsc::error::TrySendError::Full(_)) {
                overloaded("too many writes wait")
            } else {
                closing()
            }
        })?;
        // The batcher ended; the outcome of its last batch is unknown.
        received.await.map_err(|_| lost())?
    }
}

// === impl Batcher ===

impl Batcher {
    /// Runs until every [`Queue`] is dropped and no operation waits.
    pub(crate) async fn run(
        mut self,
        driver: Arc<dyn Driver>,
        log_follower: LogFollower,
        metrics: Metrics,
    ) {
        loop {
            if self.waiting.is_empty() {
                match self.requests.recv().await {
                    Some(request) => self.take(request, &log_follower),
                    None => return,
                }
            }
            // Let connection tasks read requests that arrived during the commit, so that they join
            // this batch.
            tokio::task::yield_now().await;
            while self.waiting.len() < BATCH_OPS {
                let Ok(request) = self.requests.try_recv() else {
                    break;
                };
                self.take(request, &log_follower);
            }
            let batch = self.next_batch();
            if batch.is_empty() {
                continue;
            }
            let (ops, places): (Vec<Op>, Vec<(u64, usize)>) = batch
                .into_iter()
                .map(|unit| (unit.op, (unit.request, unit.index)))
                .unzip();
            metrics.batch(ops.len());
            match driver.commit(ops).await {
                Ok(committed) => {
                    let header = committed.header;
                    metrics.committed(committed.events.len());
                    log_follower.publish(committed.events, header.clone());
                    let deleted = committed.results.iter().map(deleted_bytes).max();
                    self.deleted = deleted.unwrap_or(0).max(self.deleted / 2);
                    for (place, result) in places.into_iter().zip(committed.results) {
                        self.settle(place, Ok(result), &header);
                    }
                }
                Err(failed) => {
                    let header = log_follower.header();
                    for place in places {
                        self.settle(place, Err(failed.clone()), &header);
                    }
                }
            }
        }
    }

    fn take(&mut self, request: Request, log_follower: &LogFollower) {
        if request.ops.is_empty() {
            let _ = request.reply.send(Ok(WriteResponse {
                header: Some(log_follower.header()),
                results: Vec::new(),
            }));
            return;
        }
        let id = self.next;
        self.next += 1;
        let count = request.ops.len();
        self.open.insert(
            id,
            Open {
                results: vec![None; count],
                bytes: 0,
                missing: count,
                failed: None,
                any_verdict: false,
                reply: request.reply,
                _room: request._room,
            },
        );
        let units = request.ops.into_iter().enumerate();
        self.waiting.extend(units.map(|(index, op)| Unit {
            op,
            request: id,
            index,
        }));
    }

    /// Takes the longest prefix of the queue without a duplicate key; later operations on these
    /// keys wait for the next batch.
    fn next_batch(&mut self) -> Vec<Unit> {
        let mut batch: Vec<Unit> = Vec::new();
        let mut later = VecDeque::new();
        let mut keys: HashSet<Key> = HashSet::new();
        let (mut bytes, mut reply) = (0, 0);
        while let Some(unit) = self.waiting.pop_front() {
            if self.abandoned(&unit) {
                continue;
            }
            let size = unit.op.value.len();
            let record = match unit.op.action() {
                Action::Delete => self.deleted,
                _ => 0,
            };
            let large = bytes + size > BATCH_BYTES || reply + record > ANSWER_BYTES;
            if batch.len() >= BATCH_OPS || (!batch.is_empty() && large) {
                later.push_back(unit);
                break;
            }
            let key = unit.op.key.clone().unwrap_or_default();
            if keys.insert(key) {
                bytes += size;
                reply += record;
                batch.push(unit);
            } else {
                later.push_back(unit);
            }
        }
        later.append(&mut self.waiting);
        self.waiting = later;
        batch
    }

    /// Drops an operation whose caller is gone, unless another operation of its request was already
    /// sent to the driver.
    fn abandoned(&mut self, unit: &Unit) -> bool {
        let Some(open) = self.open.get(&unit.request) else {
            return true;
        };
        let untouched = open.missing == open.results.len();
        if untouched && open.reply.is_closed() {
            self.open.remove(&unit.request);
            return true;
        }
        false
    }

    fn settle(
        &mut self,
        (id, index): (u64, usize),
        result: Result<OpResult, BackendError>,
        header: &Header,
    ) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        open.missing -= 1;
        open.results[index] = Some(match result {
            Ok(result) => {
                open.any_verdict = true;
                open.fit(result)
            }
            Err(failed) => {
                let verdict = Some(Verdict::Refused(failed.clone()));
                open.failed = Some(failed);
                OpResult { verdict }
            }
        });
        if open.missing > 0 {
            return;
        }
        let Some(done) = self.open.remove(&id) else {
            return;
        };
        // The receiver is dropped if the caller is gone.
        let _ = done.reply.send(match done.failed {
            Some(failed) if !done.any_verdict => Err(failed),
            _ => Ok(WriteResponse {
                header: Some(header.clone()),
                results: done.results.into_iter().flatten().collect(),
            }),
        });
    }
}

// === impl Open ===

impl Open {
    /// Returns the result, without its record if the response has no room for it.
    fn fit(&mut self, result: OpResult) -> OpResult {
        let bytes = record(&result).map_or(0, Record::encoded_len);
        if bytes == 0 || self.bytes == 0 || self.bytes + bytes <= ANSWER_BYTES {
            self.bytes += bytes;
            return result;
        }
        let outcome = match result.verdict {
            Some(Verdict::Applied(_)) => Outcome::Applied,
            _ => Outcome::NotApplied,
        };
        let full = "the answer is full: send this operation again, with its op_id";
        OpResult {
            verdict: Some(Verdict::Refused(BackendError {
                outcome: outcome.into(),
                ..error(Reason::Overloaded, full)
            })),
        }
    }
}

/// Returns the record in a verdict.
fn record(result: &OpResult) -> Option<&Record> {
    match result.verdict.as_ref()? {
        Verdict::Applied(Applied { deleted, .. }) => deleted.as_ref(),
        Verdict::Conflict(Conflict { current, .. }) => current.as_ref(),
        Verdict::Refused(_) => None,
    }
}

fn deleted_bytes(result: &OpResult) -> usize {
    let applied = matches!(result.verdict, Some(Verdict::Applied(_)));
    let deleted = record(result).filter(|_| applied);
    deleted.map_or(0, |record| record.value.len())
}

#[cfg(test)]
mod tests;
