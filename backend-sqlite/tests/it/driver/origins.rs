//! Tests of the origins of changes in the log.

use backend_proto::v1::{Event, Header, Op, Origin};
use rusqlite::Connection;
use sidecar::driver::{Driver as _, ImportOptions, ImportPart};
use tokio::sync::mpsc;

use crate::driver::store::{BASE, Store, all, create, delete, update};

/// Reverts a file to schema version 3.
const BEFORE: &str = "ALTER TABLE log DROP COLUMN manager; ALTER TABLE log DROP COLUMN verb;
    ALTER TABLE log DROP COLUMN subresource;
    ALTER TABLE store DROP COLUMN stamp; DROP INDEX current_namespace; PRAGMA user_version = 3;";

fn origin(verb: &str) -> Origin {
    Origin {
        manager: "kubectl-edit".to_owned(),
        verb: verb.to_owned(),
        subresource: "status".to_owned(),
    }
}

fn by(op: Op, verb: &str) -> Op {
    Op {
        origin: Some(origin(verb)),
        ..op
    }
}

fn origins(events: &[Event]) -> Vec<Option<Origin>> {
    events.iter().map(|event| event.origin.clone()).collect()
}

/// Makes changes under the old and the new schema; returns the origins read with the new one.
async fn both_releases() -> (Store, Vec<Option<Origin>>) {
    let mut store = Store::new();
    store.apply(by(create("a/x", "1"), "create")).await;
    store.apply(by(create("a/y", "1"), "create")).await;
    store.apply(by(delete("a/y"), "delete")).await;
    store.driver.close().await;
    Connection::open(store.path())
        .and_then(|file| file.execute_batch(BEFORE))
        .expect("as it was");
    std::fs::remove_file(store.folder.path().join("ark.db.position")).expect("removed");
    store.open_again();
    store.apply(by(update("a/x", "2"), "patch")).await;
    store.apply(update("a/x", "3")).await;
    store.apply(by(delete("a/x"), "delete")).await;
    let (patched, deleted) = (Some(origin("patch")), Some(origin("delete")));
    (store, vec![None, None, None, patched, None, deleted])
}

#[tokio::test]
async fn file_of_previous_schema_opens_without_origins() {
    let (mut store, expected) = both_releases().await;
    let events = store.log(BASE).await;
    assert_eq!(origins(&events), expected);
    store.reopen().await;
    assert_eq!(store.log(BASE).await, events);
}

#[tokio::test]
async fn events_of_commit_equal_those_of_log() {
    let store = Store::new();
    let mut long = by(create("a/x", "1"), "create");
    long.origin = Some(Origin {
        manager: "é".repeat(70),
        verb: "a\0b".to_owned(),
        subresource: "s".repeat(40),
    });
    let said_nothing = Op {
        origin: Some(Origin::default()),
        ..update("a/x", "2")
    };
    let mut handed = store.commit(vec![long]).await.events;
    handed.extend(store.commit(vec![said_nothing]).await.events);
    assert_eq!(store.log(BASE).await, handed);
    let stored = handed[0].origin.as_ref().expect("an origin");
    assert_eq!(stored.manager, "é".repeat(64));
    assert_eq!(stored.subresource, "s".repeat(32));
    assert_eq!(handed[1].origin, None);
}

#[tokio::test]
async fn move_preserves_origins() {
    let (source, expected) = both_releases().await;
    let events = source.log(BASE).await;
    let before = Header {
        store_id: "source".to_owned(),
        epoch: BASE,
        revision: BASE,
        compact_revision: BASE,
    };
    let (sender, parts) = mpsc::channel(2);
    for part in [ImportPart::Events(events.clone()), ImportPart::Done] {
        sender.send(part).await.expect("room");
    }
    drop(sender);
    let options = ImportOptions {
        source: before,
        keep_epoch: true,
        more: false,
        discard: false,
    };
    let mut target = Store::new();
    let imported = target.driver.import(options, parts).await;
    imported.expect("imported");
    target.reopen().await;
    assert_eq!(target.log(BASE).await, events);
    assert_eq!(origins(&target.log(BASE).await), expected);
    assert!(target.names(all()).await.is_empty());
}
