//! Tests of a database that another program locks.

use std::time::{Duration, Instant};

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_sqlite::Options;
use rusqlite::Connection;
use sidecar::driver::{Driver as _, DriverHealth};

use crate::driver::store::{Store, all, create, open};

/// Less than the 5 s after which a gateway counts the outcome of a write as unknown.
const ANSWERED: Duration = Duration::from_secs(4);

#[tokio::test]
async fn lock_of_another_program_is_reported_and_named() {
    let mut store = Store::new();
    store.apply(create("a/x", "1")).await;
    let shell = Connection::open(store.path()).expect("opened");
    shell.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let locked = Instant::now();
    // The health shows it without a write of a client.
    let message = loop {
        match store.driver.health().await {
            DriverHealth::NotReady(message) => break message,
            DriverHealth::Ready => {}
            other => panic!("{other:?}"),
        }
        assert!(locked.elapsed() < ANSWERED, "never reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(message.contains("locked by another program"), "{message}");
    for _ in 0..3 {
        let began = Instant::now();
        let rejected = store.driver.commit(vec![create("a/y", "1")]).await;
        let error = rejected.expect_err("locked");
        assert!(began.elapsed() < ANSWERED, "{:?}", began.elapsed());
        assert_eq!(error.reason(), Reason::NotReady);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert_eq!(error.message, message);
        assert!(error.retry_after_ms > 0);
    }
    assert_eq!(store.names(all()).await, ["a/x"], "reads continue");
    shell.execute_batch("COMMIT").expect("unlocked");
    store.apply(create("a/y", "1")).await;
    assert_eq!(store.driver.health().await, DriverHealth::Ready);

    // At the start.
    store.driver.close().await;
    shell.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let line = open(&Options::new(store.path())).expect_err("locked");
    assert!(
        line.to_string().contains("locked by another program"),
        "{line}"
    );
    shell.execute_batch("COMMIT").expect("unlocked");
    drop(shell);
    store.open_again();
    assert_eq!(store.names(all()).await, ["a/x", "a/y"]);
}

#[tokio::test]
async fn write_waits_for_a_short_lock() {
    let store = Store::new();
    let shell = Connection::open(store.path()).expect("opened");
    shell.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let driver = store.driver.clone();
    let mut writes = tokio::task::JoinSet::new();
    writes.spawn(async move { driver.commit(vec![create("a/x", "1")]).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    shell.execute_batch("COMMIT").expect("unlocked");
    let written = writes.join_next().await.expect("a task").expect("joined");
    written.expect("written");
}
