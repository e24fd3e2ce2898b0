//! Client requests never reach an unusable driver.

use gateway::store::{Action, Index, Phase, StoreConfig, StoreError, WriteOutcome};

use super::server::{TestServer, latest, thing};
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
