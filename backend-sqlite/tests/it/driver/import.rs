//! Tests of moving content to another store.

use backend_proto::v1::Header;
use sidecar::driver::{Driver as _, ImportOptions, ImportPart};
use tokio::sync::mpsc;

use crate::driver::store::{BASE, Store, all, create, delete, update};

async fn import(
    store: &Store,
    source: &Header,
    keep_epoch: bool,
    parts: Vec<ImportPart>,
) -> Result<Header, backend_proto::v1::BackendError> {
    let (sender, receiver) = mpsc::channel(16);
    for part in parts {
        sender.send(part).await.expect("room");
    }
    drop(sender);
    let options = ImportOptions {
        source: source.clone(),
        keep_epoch,
        more: false,
        discard: false,
    };
    store.driver.import(options, receiver).await
}

/// Exports three records and the changes after them.
async fn exported() -> (Store, Header, Vec<ImportPart>) {
    let source = Store::new();
    for name in ["a/x", "a/y", "b"] {
        source.apply(create(name, name)).await;
    }
    source.apply(update("a/x", "2")).await;
    let snapshot = source.list(all()).await.expect("list");
    source.apply(delete("a/y")).await;
    source.apply(update("b", "2")).await;
    let events = source.log(snapshot.header.revision).await;
    let parts = vec![
        ImportPart::Records(snapshot.records),
        ImportPart::Events(events),
        ImportPart::Done,
    ];
    (source, snapshot.header, parts)
}

#[tokio::test]
async fn planned_move_keeps_revisions_and_history() {
    let (source, header, parts) = exported().await;
    let mut target = Store::new();
    let moved = import(&target, &header, true, parts).await.expect("import");
    assert_eq!(moved.store_id, header.store_id);
    assert_eq!(
        (moved.revision, moved.compact_revision),
        (BASE + 6, BASE + 4)
    );
    target.reopen().await;
    assert_eq!(target.driver.header().await.expect("header"), moved);
    let there = target.list(all()).await.expect("list");
    assert_eq!(
        there.records,
        source.list(all()).await.expect("list").records
    );
    assert_eq!(target.log(BASE + 4).await, source.log(BASE + 4).await);
    assert_eq!(target.apply(create("c", "1")).await, BASE + 7);
}

#[tokio::test]
async fn restore_begins_a_new_epoch() {
    let (source, header, parts) = exported().await;
    let target = Store::new();
    let restored = import(&target, &header, false, parts)
        .await
        .expect("import");
    // The epoch is from the clock: the same backup may have been restored elsewhere before.
    assert!(restored.epoch > 2);
    assert_eq!(restored.compact_revision, restored.revision);
    let there = target.list(all()).await.expect("list");
    assert_eq!(
        there.records,
        source.list(all()).await.expect("list").records
    );
}

#[tokio::test]
async fn aborted_import_stores_nothing() {
    let (_source, header, mut parts) = exported().await;
    parts.pop();
    let target = Store::new();
    let before = target.driver.header().await.expect("header");
    import(&target, &header, true, parts)
        .await
        .expect_err("incomplete");
    assert_eq!(target.driver.header().await.expect("header"), before);
    assert!(target.names(all()).await.is_empty());
    assert_eq!(target.apply(create("a/x", "1")).await, BASE + 1);
    import(&target, &header, true, vec![ImportPart::Done])
        .await
        .expect_err("no longer empty");
}
