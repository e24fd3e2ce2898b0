//! Tests of when the log is read, under tokio's paused clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_proto::v1::{BackendError, Event, Header, Key, Op, Record};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::LogFollower;
use crate::driver::{
    Committed, Description, Driver, DriverHealth, ImportOptions, ImportPart, ListPart, ListQuery,
    LogPage,
};
use crate::fanout::Fanout;
use crate::metrics::Metrics;
use crate::refuse::{compacted, unimplemented};

/// A store with other writers.
#[derive(Default)]
pub(crate) struct Others {
    header: Mutex<Header>,
    reads: Mutex<Vec<Instant>>,
    hint: Notify,
}

impl Others {
    /// Simulates a change by another writer.
    pub(crate) fn move_to(&self, epoch: i64, revision: i64, compact_revision: i64) -> Header {
        let header = header(epoch, revision, compact_revision);
        *self.header.lock() = header.clone();
        header
    }
}

#[async_trait]
impl Driver for Others {
    fn describe(&self) -> Description {
        Description {
            name: "others".to_owned(),
            version: String::new(),
            limits: backend_proto::v1::Limits::default(),
            multi_writer: true,
            moves: false,
        }
    }

    async fn commit(&self, _ops: Vec<Op>) -> Result<Committed, BackendError> {
        Err(unimplemented("commit"))
    }

    async fn get(
        &self,
        _key: &Key,
        _revision: i64,
    ) -> Result<(Header, Option<Record>), BackendError> {
        Err(unimplemented("get"))
    }

    async fn resources(&self) -> Result<Vec<(String, String)>, BackendError> {
        Err(unimplemented("resources"))
    }

    async fn list(
        &self,
        _query: ListQuery,
        _sink: mpsc::Sender<ListPart>,
    ) -> Result<(), BackendError> {
        Err(unimplemented("list"))
    }

    async fn read_log(&self, after: i64, _max_bytes: usize) -> Result<LogPage, BackendError> {
        self.reads.lock().push(Instant::now());
        let header = self.header.lock().clone();
        if after < header.compact_revision {
            return Err(compacted(header.compact_revision));
        }
        let events = (after + 1..=header.revision).map(|revision| Event {
            revision,
            ..Event::default()
        });
        Ok(LogPage {
            events: events.collect(),
            up_to_revision: header.revision,
            header,
        })
    }

    async fn header(&self) -> Result<Header, BackendError> {
        Ok(self.header.lock().clone())
    }

    async fn compact(&self, _revision: i64) -> Result<Header, BackendError> {
        Err(unimplemented("compact"))
    }

    async fn retention_target(
        &self,
        _keep: Duration,
        _keep_events: u64,
    ) -> Result<Option<i64>, BackendError> {
        Ok(None)
    }

    async fn import(
        &self,
        _options: ImportOptions,
        _parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Header, BackendError> {
        Err(unimplemented("import"))
    }

    async fn changed(&self) {
        self.hint.notified().await;
    }

    async fn health(&self) -> DriverHealth {
        DriverHealth::Ready
    }

    async fn close(&self) {}
}

fn header(epoch: i64, revision: i64, compact_revision: i64) -> Header {
    Header {
        store_id: "store".to_owned(),
        epoch,
        revision,
        compact_revision,
    }
}

/// A tail that follows a store at revision 10.
struct Followed {
    others: Arc<Others>,
    fanout: Arc<Fanout>,
    log_follower: LogFollower,
    _tasks: JoinSet<()>,
}

impl Followed {
    fn start() -> Self {
        let others = Arc::new(Others::default());
        let fanout = Arc::new(Fanout::new(others.move_to(1, 10, 0)));
        let log_follower = LogFollower::new(fanout.clone());
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        tasks.spawn(
            log_follower
                .clone()
                .follow(others.clone(), Metrics::new(), stop.clone()),
        );
        Self {
            others,
            fanout,
            log_follower,
            _tasks: tasks,
        }
    }

    /// Waits until a header is published; returns the elapsed time.
    async fn reaches(&self, expected: Header) -> Duration {
        let started = Instant::now();
        let mut moved = self.fanout.subscribe();
        while self.fanout.header() != expected {
            moved.changed().await.expect("the ring lives");
        }
        started.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn other_writers_changes_are_polled_rarely_when_idle() {
    let followed = Followed::start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let reads = followed.others.reads.lock().len();
    assert!((40..=60).contains(&reads), "{reads} reads in a minute");
    let expected = followed.others.move_to(1, 11, 0);
    assert!(followed.reaches(expected).await <= Duration::from_millis(1250));
    let expected = followed.others.move_to(1, 12, 0);
    assert!(followed.reaches(expected).await <= Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn hints_and_newer_headers_wake_the_log_follower() {
    let followed = Followed::start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let expected = followed.others.move_to(1, 11, 0);
    followed.others.hint.notify_one();
    assert_eq!(followed.reaches(expected).await, Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let expected = followed.others.move_to(1, 12, 0);
    followed.log_follower.wake(&expected);
    assert_eq!(followed.reaches(expected).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn epoch_begun_by_another_writer_is_adopted() {
    let followed = Followed::start();
    let expected = followed.others.move_to(2, 1 << 41, 1 << 41);
    followed.reaches(expected).await;
    assert!(matches!(
        followed.fanout.after(10, 1, 1000),
        crate::fanout::Found::EpochChanged
    ));
}

#[tokio::test(start_paused = true)]
async fn changes_compacted_before_read_are_skipped() {
    let followed = Followed::start();
    let expected = followed.others.move_to(1, 100, 90);
    followed.reaches(expected).await;
    assert!(matches!(
        followed.fanout.after(10, 1, 1000),
        crate::fanout::Found::Behind
    ));
}
