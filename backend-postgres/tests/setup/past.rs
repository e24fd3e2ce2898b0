//! Tests that reads of compacted history fail instead of returning partial results.

use std::time::Duration;

use backend_postgres::{Options, PostgresDriver};
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op::Action;
use backend_proto::v1::{BackendError, Key, Op, Range};
use postgres_testkit::{Server, Session};
use sidecar::driver::{Driver as _, ListPart, ListQuery};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::program::{DEADLINE, database};

fn key() -> Key {
    Key {
        group: "ark.mckinsey.com".to_owned(),
        resource: "queries".to_owned(),
        namespace: "default".to_owned(),
        name: "a".to_owned(),
    }
}

async fn write(driver: &PostgresDriver, action: Action, value: &str) -> i64 {
    let op = Op {
        key: Some(key()),
        action: action.into(),
        value: value.to_owned().into(),
        ..Op::default()
    };
    let committed = driver.commit(vec![op]).await.expect("committed");
    committed.header.revision
}

/// Returns the number of records at a revision.
async fn list(driver: &PostgresDriver, revision: i64) -> Result<usize, BackendError> {
    let query = ListQuery {
        range: Range {
            group: key().group,
            resource: key().resource,
            ..Range::default()
        },
        after: None,
        limit: 0,
        revision,
    };
    let (sink, mut parts) = mpsc::channel(8);
    driver.list(query, sink).await?;
    let mut records = 0;
    while let Some(part) = parts.recv().await {
        if let ListPart::Records(more) = part {
            records += more.len();
        }
    }
    Ok(records)
}

/// Waits until `count` sessions wait for locks.
async fn blocked(session: &Session, count: usize) {
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    let all = async {
        while session.text(waiting).await.expect("asked") != Some(count.to_string()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, all).await.expect("everybody waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_read_fails_if_its_history_is_dropped() {
    let (server, dsn) = database(Server::builder()).await;
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let driver = PostgresDriver::open(options).await.expect("opened");
    let first = write(&driver, Action::Create, "1").await;
    write(&driver, Action::Update, "2").await;
    assert_eq!(list(&driver, first).await, Ok(1));

    // Dropping takes an exclusive lock on the log; the other sessions began before it is granted.
    let (dropper, session) = (
        Session::connect(&dsn).await.expect("a session"),
        Session::connect(&dsn).await.expect("a session"),
    );
    let begin = "begin; lock table ark.log in access exclusive mode";
    dropper.batch_execute(begin).await.expect("locked");
    let drop_all = "with last as (select max(upto) as upto from ark.log_partition) \
                    update ark.store set revision = upto, compact_revision = upto - 1 from last; \
                    select ark.drop_log(); commit";
    let key = key();
    let (listed, got, read, ()) = tokio::join!(
        list(&driver, first),
        driver.get(&key, first),
        driver.read_log(first, 1 << 20),
        async {
            blocked(&session, 3).await;
            dropper.batch_execute(drop_all).await.expect("dropped");
        }
    );
    let left = "select count(*) from ark.log_partition";
    let left = session.text(left).await.expect("asked");
    assert_eq!(left.as_deref(), Some("0"));
    for (name, response) in [
        ("list", listed.map(|_| ())),
        ("get", got.map(|_| ())),
        ("log", read.map(|_| ())),
    ] {
        let rejected = response.expect_err(name);
        assert_eq!(rejected.reason(), Reason::Compacted, "{name}: {rejected:?}");
    }
    driver.close().await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_not_dropped_during_a_past_read() {
    let (server, dsn) = database(Server::builder()).await;
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let driver = PostgresDriver::open(options).await.expect("opened");
    let first = write(&driver, Action::Create, "1").await;
    write(&driver, Action::Update, "2").await;
    let (dropper, session) = (
        Session::connect(&dsn).await.expect("a session"),
        Session::connect(&dsn).await.expect("a session"),
    );
    // Blocks a list between its snapshot and its last read.
    let stop = "begin; lock table ark.object in access exclusive mode";
    session.batch_execute(stop).await.expect("locked");
    let compact = "update ark.store set compact_revision = \
                   (select max(upto) - 1 from ark.log_partition)";
    let (listed, ()) = tokio::join!(list(&driver, first), async {
        blocked(&dropper, 1).await;
        dropper.batch_execute(compact).await.expect("compacted");
        let dropped = dropper.text("select ark.drop_log()").await;
        assert!(dropped.is_err(), "dropped under a reader: {dropped:?}");
        session.batch_execute("rollback").await.expect("let go");
    });
    assert_eq!(listed, Ok(1));
    let dropped = dropper.text("select ark.drop_log()").await;
    assert_eq!(dropped.expect("dropped").as_deref(), Some("1"));
    driver.close().await;
    drop(server);
}
