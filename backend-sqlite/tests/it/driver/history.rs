//! Tests of the log, retention and compaction.

use std::time::Duration;

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::event::Type;
use rusqlite::Connection;
use sidecar::driver::Driver as _;

use crate::driver::store::{BASE, Store, all, at, create, delete, key, path, update};

#[tokio::test]
async fn log_pages_have_no_gaps() {
    let store = Store::new();
    for number in 0..20 {
        store
            .apply(create(&format!("a/{number}"), &"v".repeat(1000)))
            .await;
    }
    let mut after = BASE;
    let mut observed = Vec::new();
    while observed.len() < 20 {
        let page = store.driver.read_log(after, 3000).await.expect("log");
        assert!(!page.events.is_empty() && page.events.len() < 5);
        assert_eq!(
            page.events.last().map(|event| event.revision),
            Some(page.up_to_revision)
        );
        after = page.up_to_revision;
        observed.extend(page.events.into_iter().map(|event| event.revision));
    }
    assert_eq!(observed, (BASE + 1..=BASE + 20).collect::<Vec<_>>());
    let empty = store.driver.read_log(after, 3000).await.expect("log");
    assert_eq!((empty.events.len(), empty.up_to_revision), (0, BASE + 20));
    let future = store
        .driver
        .read_log(BASE + 21, 1)
        .await
        .expect_err("refused");
    assert_eq!(future.reason(), Reason::FutureRevision);
}

#[tokio::test]
async fn compaction_keeps_state_and_later_history() {
    let mut store = Store::new();
    store.apply(create("a/kept", "1")).await;
    store.apply(create("a/moved", "1")).await;
    store.apply(update("a/moved", "2")).await;
    store.apply(create("a/gone", "1")).await;
    store.apply(delete("a/gone")).await;
    store.apply(create("a/late", "1")).await;
    let compact = store.apply(update("a/moved", "3")).await;
    let later = [
        store.apply(delete("a/moved")).await,
        store.apply(update("a/late", "2")).await,
    ];
    let before = store.list(at(compact)).await.expect("list").records;
    let header = store.driver.compact(compact).await.expect("compact");
    assert_eq!(header.compact_revision, compact);
    store.reopen().await;

    let early = store
        .driver
        .read_log(compact - 1, 1)
        .await
        .expect_err("refused");
    assert_eq!(early.reason(), Reason::Compacted);
    assert_eq!(early.compact_revision, compact);
    let early = store.list(at(compact - 1)).await.expect_err("refused");
    assert_eq!(early.reason(), Reason::Compacted);
    assert_eq!(store.list(at(compact)).await.expect("list").records, before);
    let (_, moved) = store
        .driver
        .get(&key("a/moved"), compact)
        .await
        .expect("get");
    assert_eq!(moved.map(|record| record.value), Some("3".into()));

    let events = store.log(compact).await;
    let revisions: Vec<i64> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, later);
    assert_eq!(events[0].r#type(), Type::Deleted);
    let last = events[0].record.as_ref().expect("record");
    assert_eq!(
        (path(last), &last.value[..]),
        ("a/moved".to_owned(), &b"3"[..])
    );
    assert_eq!(store.names(all()).await, ["a/kept", "a/late"]);
    // The rows kept, moved=3, late=1, and the two later ones.
    assert_eq!(rows_of_log(&store), 5);
}

#[tokio::test]
async fn revision_is_not_reused_after_full_compaction() {
    let mut store = Store::new();
    store.apply(create("a/x", "1")).await;
    let last = store.apply(delete("a/x")).await;
    store.driver.compact(last).await.expect("compact");
    assert_eq!(rows_of_log(&store), 0);
    store.reopen().await;
    let header = store.driver.header().await.expect("header");
    assert_eq!((header.revision, header.compact_revision), (last, last));
    assert_eq!(store.apply(create("a/x", "1")).await, last + 1);
}

#[tokio::test]
async fn compaction_rejects_future_and_ignores_past_revisions() {
    let store = Store::new();
    let last = store.apply(create("a/x", "1")).await;
    let rejected = store.driver.compact(last + 1).await.expect_err("refused");
    assert_eq!(rejected.reason(), Reason::FutureRevision);
    store.driver.compact(last).await.expect("compact");
    let header = store.driver.compact(last - 1).await.expect("nothing");
    assert_eq!(header.compact_revision, last);
}

#[tokio::test]
async fn retention_requires_age_and_count() {
    let store = Store::new();
    for number in 0..10 {
        store.apply(create(&format!("a/{number}"), "1")).await;
    }
    let hour = Duration::from_secs(3600);
    let cases = [
        (Duration::ZERO, 3, Some(BASE + 7)),
        (Duration::ZERO, 0, Some(BASE + 10)),
        (Duration::ZERO, 10, None),
        (Duration::ZERO, 1_000_000, None),
        (hour, 0, None),
    ];
    for (keep, events, expected) in cases {
        let target = store.driver.retention_target(keep, events).await;
        assert_eq!(target.expect("target"), expected, "{keep:?} and {events}");
    }
}

fn rows_of_log(store: &Store) -> i64 {
    Connection::open(store.path())
        .and_then(|file| file.query_row("SELECT count(*) FROM log", [], |row| row.get(0)))
        .expect("readable file")
}
