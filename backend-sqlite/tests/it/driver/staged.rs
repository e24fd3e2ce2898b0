//! Tests of imports in several calls: what is stored, visible and rejected.

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::{BackendError, Event, Header, Record};
use backend_sqlite::{Options, backup};
use rusqlite::Connection;
use sidecar::driver::{Driver as _, ImportOptions, ImportPart, ImportProgress};
use tokio::sync::mpsc;

use crate::driver::store::{BASE, Store, all, at, create, delete, key, list, open, update};

/// Content of an exported store.
struct Exported {
    source: Header,
    records: Vec<Record>,
    events: Vec<Event>,
}

/// Exports five records and three changes after them.
async fn exported() -> (Store, Exported) {
    let store = Store::new();
    for name in ["a/y", "a/x", "b", "a-b/x", "c"] {
        store.apply(create(name, name)).await;
    }
    let listed = store.list(all()).await.expect("list");
    store.apply(update("a/x", "2")).await;
    store.apply(delete("b")).await;
    store.apply(update("c", "2")).await;
    let exported = Exported {
        events: store.log(listed.header.revision).await,
        source: listed.header,
        records: listed.records,
    };
    (store, exported)
}

/// Makes one call; `whole` without `Done` simulates a stream that broke.
async fn call(
    store: &Store,
    options: ImportOptions,
    parts: Vec<ImportPart>,
    whole: bool,
) -> Result<Header, BackendError> {
    let (sender, receiver) = mpsc::channel(16);
    for part in parts {
        sender.send(part).await.expect("room");
    }
    if whole {
        sender.send(ImportPart::Done).await.expect("room");
    }
    drop(sender);
    store.driver.import(options, receiver).await
}

fn options(source: &Header, more: bool) -> ImportOptions {
    ImportOptions {
        source: source.clone(),
        keep_epoch: true,
        more,
        discard: false,
    }
}

async fn progress(store: &Store) -> Option<ImportProgress> {
    store.driver.import_progress().await.expect("progress")
}

fn refused<T: std::fmt::Debug>(response: Result<T, BackendError>, due: Reason) {
    let error = response.expect_err("refused");
    assert_eq!(error.reason(), due, "{}", error.message);
}

/// Asserts that the store rejects reads and writes.
async fn invisible(store: &Store) {
    let driver = &store.driver;
    let due = Reason::NotReady;
    refused(driver.get(&key("a/x"), 0).await, due);
    refused(driver.read_log(BASE, usize::MAX).await, due);
    refused(store.list(all()).await, due);
    refused(driver.commit(vec![create("a/x", "mine")]).await, due);
    refused(driver.compact(BASE).await, due);
    refused(driver.fence(Some("why".to_owned())).await, due);
    let keep = std::time::Duration::ZERO;
    assert_eq!(driver.retention_target(keep, 0).await.expect("none"), None);
    let file = Connection::open(store.path()).expect("readable while in use");
    let count = "SELECT count(*) FROM resources";
    let observed: i64 = file.query_row(count, [], |row| row.get(0)).expect("view");
    assert_eq!(observed, 0, "the view for people shows half a store");
}

#[tokio::test]
async fn import_in_several_calls_equals_one_call() {
    let (source, exported) = exported().await;
    let mut target = Store::new();
    let empty = target.driver.header().await.expect("header");
    let records = exported.records.chunks(2).map(<[Record]>::to_vec);
    let records = records.map(|records| vec![ImportPart::Records(records)]);
    let events = exported.events.iter().take(2).cloned();
    let events = events.map(|event| vec![ImportPart::Events(vec![event])]);
    let mut stored = 0;
    for parts in records.chain(events) {
        if let ImportPart::Records(records) = &parts[0] {
            stored += records.len() as i64;
        }
        let header = call(&target, options(&exported.source, true), parts, true).await;
        assert_eq!(header.expect("kept"), empty);
        invisible(&target).await;
        target.reopen().await;
        invisible(&target).await;
        let progress = progress(&target).await.expect("unfinished");
        assert_eq!(
            (&progress.source, progress.records),
            (&exported.source, stored)
        );
        assert_eq!(progress.last, exported.records[stored as usize - 1].key);
    }
    let reached = progress(&target).await.expect("unfinished").revision;
    assert_eq!(reached, exported.events[1].revision);
    let last = vec![ImportPart::Events(exported.events[2..].to_vec())];
    let last = call(&target, options(&exported.source, false), last, true).await;
    let header = last.expect("complete");
    assert_eq!(header.store_id, exported.source.store_id);
    assert_eq!(progress(&target).await, None);
    target.reopen().await;
    for revision in exported.source.revision..=header.revision {
        let there = target.list(at(revision)).await.expect("list").records;
        assert_eq!(
            there,
            source.list(at(revision)).await.expect("list").records
        );
    }
    assert_eq!(target.log(exported.source.revision).await, exported.events);
    assert_eq!(target.apply(create("d", "1")).await, header.revision + 1);
}

#[tokio::test]
async fn misplaced_import_call_stores_nothing() {
    let (_source, exported) = exported().await;
    let target = Store::new();
    let first = vec![ImportPart::Records(exported.records[..3].to_vec())];
    let stored = call(&target, options(&exported.source, true), first, true).await;
    stored.expect("kept");
    let before = progress(&target).await;
    let other = Header {
        revision: exported.source.revision + 1,
        ..exported.source.clone()
    };
    let rest = || ImportPart::Records(exported.records[3..].to_vec());
    let again = ImportPart::Records(exported.records[2..].to_vec());
    let backwards: Vec<Record> = exported.records[3..].iter().rev().cloned().collect();
    let backwards = ImportPart::Records(backwards);
    let events = ImportPart::Events(exported.events[..1].to_vec());
    for (source, parts, whole) in [
        (&other, vec![rest()], true),
        (&exported.source, vec![rest()], false),
        (&exported.source, vec![again], true),
        (&exported.source, vec![backwards], true),
        (&exported.source, vec![events, rest()], true),
    ] {
        let response = call(&target, options(source, true), parts, whole).await;
        refused(response, Reason::Invalid);
        assert_eq!(progress(&target).await, before);
    }
}

#[tokio::test]
async fn discarded_import_leaves_nothing() {
    let (_source, exported) = exported().await;
    let target = Store::new();
    let first = vec![
        ImportPart::Records(exported.records),
        ImportPart::Events(exported.events),
    ];
    let stored = call(&target, options(&exported.source, true), first, true).await;
    stored.expect("kept");
    let (_other, other) = self::exported().await;
    let discarding = |parts, whole| {
        let discard = ImportOptions {
            discard: true,
            ..options(&other.source, false)
        };
        call(&target, discard, parts, whole)
    };
    let before = progress(&target).await;
    refused(discarding(Vec::new(), false).await, Reason::Invalid);
    assert_eq!(
        progress(&target).await,
        before,
        "a broken call drops nothing"
    );
    let one = vec![ImportPart::Records(other.records[..1].to_vec())];
    let header = discarding(one, true).await.expect("imported");
    assert_eq!(header.store_id, other.source.store_id);
    assert_eq!(target.names(all()).await, ["a-b/x"]);
    refused(discarding(Vec::new(), true).await, Reason::Invalid);
    assert_eq!(
        target.names(all()).await,
        ["a-b/x"],
        "discard drops no store"
    );
}

#[tokio::test]
async fn backup_of_unfinished_import_is_unfinished() {
    let (source, exported) = exported().await;
    let target = Store::new();
    let first = vec![
        ImportPart::Records(exported.records),
        ImportPart::Events(exported.events[..2].to_vec()),
    ];
    let stored = call(&target, options(&exported.source, true), first, true).await;
    stored.expect("kept");
    let copy = target.folder.path().join("copy.db");
    backup::run(&target.path(), &copy).expect("backup");
    let copy = Store {
        driver: open(&Options::new(&copy)).expect("the copy opens"),
        folder: tempfile::tempdir().expect("temporary directory"),
    };
    assert_eq!(progress(&copy).await, progress(&target).await);
    refused(list(&copy.driver, all()).await, Reason::NotReady);
    // Longer than the idle time after which history would be swept.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let last = vec![ImportPart::Events(exported.events[2..].to_vec())];
    let last = call(&copy, options(&exported.source, false), last, true).await;
    last.expect("complete");
    let there = copy.list(at(exported.source.revision)).await.expect("list");
    let here = source
        .list(at(exported.source.revision))
        .await
        .expect("list");
    assert_eq!(there.records, here.records);
    copy.driver.close().await;
}

#[tokio::test]
async fn store_of_first_schema_is_migrated() {
    let mut store = Store::new();
    store.apply(create("a/x", "1")).await;
    store.driver.close().await;
    let file = Connection::open(store.path()).expect("open");
    let view = "SELECT sql FROM sqlite_schema WHERE name = 'resources'";
    let view: String = file.query_row(view, [], |row| row.get(0)).expect("view");
    let first = format!(
        "DROP VIEW resources; ALTER TABLE store DROP COLUMN fenced; \
         ALTER TABLE store DROP COLUMN importing; ALTER TABLE log DROP COLUMN manager; \
         ALTER TABLE log DROP COLUMN verb; ALTER TABLE log DROP COLUMN subresource; \
         ALTER TABLE store DROP COLUMN stamp; DROP INDEX current_namespace; {}; PRAGMA user_version = 1",
        view.replace("WHERE (SELECT importing IS NULL FROM store)", "")
    );
    file.execute_batch(&first).expect("as it was");
    drop(file);
    std::fs::remove_file(store.folder.path().join("ark.db.position")).expect("removed");
    store.reopen().await;
    assert_eq!(store.names(all()).await, ["a/x"]);
    store
        .driver
        .fence(Some("why".to_owned()))
        .await
        .expect("fence");
}

#[tokio::test]
async fn write_ahead_log_stays_as_small_as_one_import_call() {
    const RECORDS: i64 = 8_000;
    const CALL: i64 = 200;
    let source = Header {
        store_id: "source".to_owned(),
        epoch: 1,
        revision: BASE + RECORDS,
        ..Header::default()
    };
    // Every revision once, in random order: as in a store in long use.
    let record = |number: i64| Record {
        key: Some(key(&format!("a/{number:05}"))),
        revision: BASE + 1 + number * 3_001 % RECORDS,
        create_revision: BASE + 1 + number * 3_001 % RECORDS,
        value: vec![b'x'; 2_600].into(),
        ..Record::default()
    };
    let target = Store::new();
    let mut log = target.path().into_os_string();
    log.push("-wal");
    for first in (0..RECORDS).step_by(CALL as usize) {
        let records = (first..first + CALL).map(record).collect();
        let part = vec![ImportPart::Records(records)];
        let stored = call(&target, options(&source, true), part, true).await;
        stored.expect("kept");
        let size = std::fs::metadata(&log).expect("a log").len();
        assert!(size <= 8 << 20, "{size} bytes after record {first}");
    }
    let done = call(&target, options(&source, false), Vec::new(), true).await;
    done.expect("complete");
    let there = target.list(all()).await.expect("list").records;
    let expected: Vec<i64> = (0..RECORDS).map(|it| record(it).revision).collect();
    let revisions: Vec<i64> = there.iter().map(|it| it.revision).collect();
    assert_eq!(revisions, expected);
}
