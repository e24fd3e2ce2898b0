//! Tests of batching, over a driver whose commits the test blocks and inspects.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::{Applied, Verdict};
use backend_proto::v1::{BackendError, Header, Key, Limits, Op, OpResult, Record};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::{Queue, new};
use crate::driver::{
    Committed, Description, Driver, DriverHealth, ImportOptions, ImportPart, ListPart, ListQuery,
    LogPage,
};
use crate::fanout::Fanout;
use crate::log_follower::LogFollower;
use crate::metrics::Metrics;
use crate::refuse::error;

/// Commits when it gets a permit and records the values of every batch. The value `fail` fails the
/// batch, `panic` panics. Every deleted record has 20 MiB.
struct BlockingDriver {
    permits: Semaphore,
    batches: Mutex<Vec<Vec<String>>>,
    large: Bytes,
}

struct Harness {
    driver: Arc<BlockingDriver>,
    queue: Queue,
    _batcher: JoinSet<()>,
}

impl Harness {
    fn new() -> Self {
        let driver = Arc::new(BlockingDriver {
            permits: Semaphore::new(0),
            batches: Mutex::default(),
            large: vec![0; 20 << 20].into(),
        });
        let (queue, batcher) = new(Limits {
            value_bytes: 1 << 20,
            write_ops: 300,
            write_bytes: 8 << 20,
        });
        let log_follower = LogFollower::new(Arc::new(Fanout::new(Header::default())));
        let mut tasks = JoinSet::new();
        tasks.spawn(batcher.run(driver.clone(), log_follower, Metrics::new()));
        Self {
            driver,
            queue,
            _batcher: tasks,
        }
    }

    /// Queues one request and yields, so that the batcher takes it.
    async fn send(&self, writers: &mut JoinSet<Result<usize, BackendError>>, ops: Vec<Op>) {
        let queue = self.queue.clone();
        writers.spawn(async move { Ok(queue.write(ops).await?.results.len()) });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    async fn finish(&self, mut writers: JoinSet<Result<usize, BackendError>>) -> Vec<Vec<String>> {
        self.driver.permits.add_permits(1000);
        while let Some(written) = writers.join_next().await {
            written.expect("task").expect("written");
        }
        self.driver.batches.lock().clone()
    }
}

fn put(name: &str, value: &str) -> Op {
    Op {
        key: Some(Key {
            name: name.to_owned(),
            ..Key::default()
        }),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..Op::default()
    }
}

#[tokio::test]
async fn requests_queued_during_commit_form_next_batch() {
    let harness = Harness::new();
    let mut writers = JoinSet::new();
    for name in ["a", "b", "c", "d"] {
        harness.send(&mut writers, vec![put(name, name)]).await;
    }
    assert_eq!(
        harness.finish(writers).await,
        [vec!["a"], vec!["b", "c", "d"]]
    );
}

#[tokio::test]
async fn operations_on_one_key_go_to_successive_batches() {
    let harness = Harness::new();
    let mut writers = JoinSet::new();
    harness.send(&mut writers, vec![put("first", "0")]).await;
    let ops = vec![put("x", "1"), put("x", "2"), put("y", "3"), put("x", "4")];
    harness.send(&mut writers, ops).await;
    harness.send(&mut writers, vec![put("y", "5")]).await;
    let batches = harness.finish(writers).await;
    assert_eq!(
        batches,
        [vec!["0"], vec!["1", "3"], vec!["2", "5"], vec!["4"]]
    );
}

#[tokio::test]
async fn disconnected_writer_in_queue_writes_nothing() {
    let harness = Harness::new();
    let mut writers = JoinSet::new();
    harness.send(&mut writers, vec![put("a", "a")]).await;
    let mut leaver = JoinSet::new();
    harness
        .send(&mut leaver, vec![put("b", "b"), put("b", "b")])
        .await;
    harness.send(&mut writers, vec![put("c", "c")]).await;
    leaver.shutdown().await;
    assert_eq!(harness.finish(writers).await, [vec!["a"], vec!["c"]]);
}

#[tokio::test]
async fn failed_commit_fails_only_its_own_calls() {
    let harness = Harness::new();
    harness.driver.permits.add_permits(1000);
    let failed = harness.queue.write(vec![put("a", "fail")]).await;
    assert_eq!(failed.expect_err("failed").reason(), Reason::Internal);
    // The first of the two operations was committed before the second failed.
    let both = harness
        .queue
        .write(vec![put("a", "fine"), put("a", "fail")])
        .await;
    let results = both.expect("a verdict for each").results;
    assert!(matches!(results[0].verdict, Some(Verdict::Applied(_))));
    assert!(matches!(results[1].verdict, Some(Verdict::Refused(_))));
}

#[tokio::test]
async fn requests_above_limits_are_rejected() {
    let harness = Harness::new();
    let many = (0..301)
        .map(|number| put(&number.to_string(), ""))
        .collect();
    let rejected = harness.queue.write(many).await.expect_err("refused");
    assert_eq!(rejected.reason(), Reason::TooLarge);
    let empty = harness
        .queue
        .write(Vec::new())
        .await
        .expect("nothing to do");
    assert!(empty.results.is_empty());
}

fn delete(name: &str) -> Op {
    Op {
        action: Action::Delete.into(),
        ..put(name, name)
    }
}

#[tokio::test]
async fn records_beyond_response_limit_are_omitted() {
    let harness = Harness::new();
    harness.driver.permits.add_permits(1000);
    let ops = vec![delete("a"), put("b", "b"), delete("c"), delete("d")];
    let results = harness.queue.write(ops).await.expect("answered").results;
    let verdicts: Vec<_> = results
        .into_iter()
        .map(|result| match result.verdict.expect("a verdict") {
            Verdict::Applied(applied) => Ok(applied.deleted.is_some()),
            Verdict::Refused(error) => Err((error.reason(), error.outcome())),
            Verdict::Conflict(_) => panic!("nothing stood in the way"),
        })
        .collect();
    let full = Err((Reason::Overloaded, Outcome::Applied));
    assert_eq!(verdicts, [Ok(true), Ok(false), full, full]);
}

#[tokio::test]
async fn batches_after_large_deletes_hold_few_deletes() {
    let harness = Harness::new();
    let mut writers = JoinSet::new();
    harness.send(&mut writers, vec![delete("a")]).await;
    let ops = vec![delete("b"), delete("c"), put("d", "d"), delete("e")];
    harness.send(&mut writers, ops).await;
    let batches = harness.finish(writers).await;
    assert_eq!(batches, [vec!["a"], vec!["b"], vec!["c", "d"], vec!["e"]]);
}

#[tokio::test]
async fn lost_batcher_leaves_outcome_unknown() {
    let harness = Harness::new();
    harness.driver.permits.add_permits(1000);
    let lost = harness.queue.write(vec![put("a", "panic")]).await;
    assert_eq!(lost.expect_err("lost").outcome(), Outcome::Unknown);
    // A request that the batcher never took was not applied.
    let closed = harness.queue.write(vec![put("a", "a")]).await;
    assert_eq!(closed.expect_err("closed").outcome(), Outcome::NotApplied);
}

#[async_trait]
impl Driver for BlockingDriver {
    fn describe(&self) -> Description {
        unreachable!("not asked in these tests")
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<Committed, BackendError> {
        self.permits.acquire().await.expect("open").forget();
        let text = |op: &Op| String::from_utf8_lossy(&op.value).into_owned();
        let values: Vec<String> = ops.iter().map(text).collect();
        if values.iter().any(|value| value == "fail") {
            return Err(error(Reason::Internal, "as requested"));
        }
        assert!(!values.iter().any(|value| value == "panic"), "as requested");
        self.batches.lock().push(values);
        let results = ops.iter().map(|op| {
            let deleted = (op.action() == Action::Delete).then(|| Record {
                value: self.large.clone(),
                ..Record::default()
            });
            let applied = Applied {
                deleted,
                ..Applied::default()
            };
            OpResult {
                verdict: Some(Verdict::Applied(applied)),
            }
        });
        Ok(Committed {
            header: Header::default(),
            results: results.collect(),
            events: Vec::new(),
        })
    }

    async fn get(&self, _: &Key, _: i64) -> Result<(Header, Option<Record>), BackendError> {
        unreachable!("not asked in these tests")
    }

    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError> {
        unreachable!("not asked in these tests")
    }

    async fn list(&self, _: ListQuery, _: mpsc::Sender<ListPart>) -> Result<(), BackendError> {
        unreachable!("not asked in these tests")
    }

    async fn read_log(&self, _: i64, _: usize) -> Result<LogPage, BackendError> {
        unreachable!("not asked in these tests")
    }

    async fn header(&self) -> Result<Header, BackendError> {
        unreachable!("not asked in these tests")
    }

    async fn compact(&self, _: i64) -> Result<Header, BackendError> {
        unreachable!("not asked in these tests")
    }

    async fn retention_target(&self, _: Duration, _: u64) -> Result<Option<i64>, BackendError> {
        unreachable!("not asked in these tests")
    }

    async fn import(
        &self,
        _: ImportOptions,
        _: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError> {
        unreachable!("not asked in these tests")
    }

    async fn health(&self) -> DriverHealth {
        DriverHealth::Ready
    }

    async fn close(&self) {}
}
