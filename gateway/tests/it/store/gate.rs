//! Client requests never reach an unusable driver.

use std::time::Duration;

use backend_proto::fence::RETIRED;
use gateway::store::{
    Action, Freshness, Index, Phase, Scope, StoreConfig, StoreError, WatchRequest, WatchStart,
    WriteOutcome,
};

use super::server::{TestServer, latest, revision, thing, things};
use crate::fake::Fake;

fn create(key: &str) -> Action {
    Action::Create {
        value: thing(key, 1, "red").into(),
        index: Index::default(),
    }
}

/// Neither a write nor a read succeeds, and none reaches the driver.
async fn rejected(server: &TestServer, why: &str) {
    let before = server.fake.disk.lock().ops;
    for key in ["a/x", "a/y"] {
        let written = server.write(key, create(key)).await;
        let unavailable = matches!(
            written,
            Err(StoreError::Initializing { .. }
                | StoreError::Unavailable { .. }
                // The operation was in flight when the connection broke.
                | StoreError::OutcomeUnknown { .. })
        );
        assert!(unavailable, "{why}: {written:?}");
        let read = server.list(latest()).await;
        assert!(read.is_err(), "{why}: {read:?}");
    }
    assert_eq!(server.fake.disk.lock().ops, before, "{why}");
    assert_eq!(server.fake.changes(), 0, "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn incompatible_driver_receives_no_request() {
    let fake = Fake::new();
    fake.fault(|faults| faults.minor = Some(99));
    let server = TestServer::start(fake, StoreConfig::default());
    let waits = |phase: &Phase| {
        matches!(
            phase,
            Phase::Initializing {
                last_error: Some(_)
            }
        )
    };
    server.until(waits).await;
    rejected(&server, "a protocol that is too new").await;
    server.fake.fault(|faults| faults.minor = None);
    server.until(|phase| *phase == Phase::Ready).await;
    server.put("a/x", 1, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_driver_is_described_before_use() {
    let mut server = TestServer::new().await;
    server.fake.kill();
    server.fake.fault(|faults| faults.minor = Some(99));
    server.fake.start();
    rejected(&server, "another driver at the same address").await;
    server.fake.fault(|faults| faults.minor = None);
    server.until(|phase| *phase == Phase::Ready).await;
    server.put("a/x", 1, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn different_store_is_written_after_load() {
    let mut server = TestServer::new().await;
    server.fake.kill();
    server.fake.fault(|faults| {
        faults.store_id = Some("another".to_owned());
        // The driver can be described, but not loaded.
        faults.list = Some(|_| Box::new(std::iter::empty()));
    });
    server.fake.start();
    server
        .until(|phase| matches!(phase, Phase::Resyncing { .. }))
        .await;
    rejected(&server, "another store").await;
    server.fake.fault(|faults| faults.list = None);
    server.until(|phase| *phase == Phase::Ready).await;
    server.put("a/x", 1, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_before_load_are_rejected() {
    let fake = Fake::new();
    fake.fault(|faults| faults.undescribed = true);
    let server = TestServer::start(fake, StoreConfig::default());
    rejected(&server, "not described").await;
    server.fake.fault(|faults| {
        faults.undescribed = false;
        faults.list = Some(|_| Box::new(std::iter::empty()));
    });
    let waits = |phase: &Phase| {
        matches!(
            phase,
            Phase::Initializing {
                last_error: Some(_)
            }
        )
    };
    server.until(waits).await;
    rejected(&server, "not loaded").await;
    server.fake.fault(|faults| faults.list = None);
    server.until(|phase| *phase == Phase::Ready).await;
    server.put("a/x", 1, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_during_import_are_rejected() {
    let fake = Fake::new();
    fake.fault(|faults| faults.importing = Some(9));
    let mut server = TestServer::start(fake, StoreConfig::default());
    let waits = |phase: &Phase| {
        matches!(
            phase,
            Phase::Initializing {
                last_error: Some(_)
            }
        )
    };
    server.until(waits).await;
    rejected(&server, "an import at the start").await;
    server.fake.fault(|faults| faults.importing = None);
    server.until(|phase| *phase == Phase::Ready).await;
    // Restarted during an import.
    server.fake.kill();
    server.fake.fault(|faults| faults.importing = Some(9));
    server.fake.start();
    rejected(&server, "an import after a restart").await;
    server.fake.fault(|faults| faults.importing = None);
    server.until(|phase| *phase == Phase::Ready).await;
    let created = server.write("a/x", create("a/x")).await;
    let Ok(WriteOutcome::Applied { revision, .. }) = created else {
        panic!("not created: {created:?}")
    };
    // The revision of the empty store before the import is not remembered.
    assert!(revision.get() < 9_u64 << 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn retired_store_ends_watches_with_410_and_rejects_everything_else() {
    let server = TestServer::new().await;
    let written = server.put("a/x", 1, "red").await;
    let mut running = server.watch(WatchStart::After(revision(written))).await;
    let reason = "the kinds have moved";
    server
        .fake
        .fault(|faults| faults.fenced = format!("{RETIRED}{reason}"));
    let ended = tokio::time::timeout(Duration::from_secs(10), running.next_batch(1)).await;
    let ended = ended.expect("in time").expect("an error");
    assert!(matches!(ended, Err(StoreError::EpochChanged)), "{ended:?}");
    server
        .until(|phase| matches!(phase, Phase::Retired { .. }))
        .await;
    check_retired(&server, written).await;
    // A server that starts now behaves the same.
    let server = TestServer::start(server.into_fake().await, StoreConfig::default());
    server
        .until(|phase| matches!(phase, Phase::Retired { .. }))
        .await;
    check_retired(&server, written).await;
    server.fake.fault(|faults| faults.fenced.clear());
    server.until(|phase| *phase == Phase::Ready).await;
    server.list(latest()).await.expect("served again");
    server.watch(WatchStart::After(revision(written))).await;
}

/// A watch from a revision is expired; everything else is unavailable, with the reason.
async fn check_retired(server: &TestServer, written: u64) {
    let expired = [
        WatchStart::After(revision(written)),
        WatchStart::Initial(Freshness::NotOlderThan(revision(written))),
    ];
    for start in expired {
        let request = WatchRequest::everything(Scope::All, start);
        let watch = server.store.watch(&things(), request).await;
        assert!(
            matches!(watch, Err(StoreError::EpochChanged)),
            "{start:?}: {watch:?}"
        );
    }
    let request = WatchRequest::everything(Scope::All, WatchStart::Initial(Freshness::Latest));
    let watch = server.store.watch(&things(), request).await.map(|_| ());
    let read = server.list(latest()).await.map(|_| ());
    let write = server.write("a/y", create("a/y")).await.map(|_| ());
    for response in [watch, read, write] {
        let Err(StoreError::Unavailable { message, .. }) = response else {
            panic!("not rejected: {response:?}")
        };
        assert!(message.contains("the kinds have moved"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fence_is_reported_while_reads_are_served() {
    let server = TestServer::new().await;
    let mut fenced = server.store.fenced();
    assert!(!*fenced.borrow());
    for (reason, is_fenced) in [("a move", true), ("", false)] {
        server
            .fake
            .fault(|faults| faults.fenced = reason.to_owned());
        let changed = fenced.wait_for(|fenced| *fenced == is_fenced);
        let changed = tokio::time::timeout(Duration::from_secs(10), changed).await;
        changed.expect("in time").expect("a store");
        assert_eq!(*server.store.phase().borrow(), Phase::Ready);
        server.list(latest()).await.expect("served");
    }
}
