//! Nothing that a client asks reaches a driver that may not be used.

use gateway::store::{Action, Index, Phase, StoreConfig, StoreError, WriteOutcome};

use super::world::{World, latest, thing};
use crate::fake::Fake;

fn create(key: &str) -> Action {
    Action::Create {
        value: thing(key, 1, "red").into(),
        index: Index::default(),
    }
}

/// Neither a write nor a read gets through, and none reaches the driver.
async fn refused(world: &World, why: &str) {
    let before = world.fake.disk.lock().ops;
    for key in ["a/x", "a/y"] {
        let written = world.write(key, create(key)).await;
        let unavailable = matches!(
            written,
            Err(StoreError::Initializing { .. }
                | StoreError::Unavailable { .. }
                // It was on its way when the connection broke.
                | StoreError::OutcomeUnknown { .. })
        );
        assert!(unavailable, "{why}: {written:?}");
        let read = world.list(latest()).await;
        assert!(read.is_err(), "{why}: {read:?}");
    }
    assert_eq!(world.fake.disk.lock().ops, before, "{why}");
    assert_eq!(world.fake.changes(), 0, "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_does_not_fit_is_asked_for_nothing() {
    let fake = Fake::new();
    fake.fault(|faults| faults.minor = Some(99));
    let world = World::start(fake, StoreConfig::default());
    let waits = |phase: &Phase| matches!(phase, Phase::Initializing { trouble: Some(_) });
    world.until(waits).await;
    refused(&world, "a protocol that is too new").await;
    world.fake.fault(|faults| faults.minor = None);
    world.until(|phase| *phase == Phase::Ready).await;
    world.put("a/x", 1, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_took_anothers_place_is_described_first() {
    let mut world = World::new().await;
    world.fake.kill();
    world.fake.fault(|faults| faults.minor = Some(99));
    world.fake.start();
    refused(&world, "another driver at the same address").await;
    world.fake.fault(|faults| faults.minor = None);
    world.until(|phase| *phase == Phase::Ready).await;
    world.put("a/x", 1, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_is_written_to_once_it_is_loaded() {
    let mut world = World::new().await;
    world.fake.kill();
    world.fake.fault(|faults| {
        faults.store_id = Some("another".to_owned());
        // It can be described, but not loaded.
        faults.list = Some(|_| Box::new(std::iter::empty()));
    });
    world.fake.start();
    world
        .until(|phase| matches!(phase, Phase::Resyncing { .. }))
        .await;
    refused(&world, "another store").await;
    world.fake.fault(|faults| faults.list = None);
    world.until(|phase| *phase == Phase::Ready).await;
    world.put("a/x", 1, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_before_the_objects_are_loaded() {
    let fake = Fake::new();
    fake.fault(|faults| faults.undescribed = true);
    let world = World::start(fake, StoreConfig::default());
    refused(&world, "not described").await;
    world.fake.fault(|faults| {
        faults.undescribed = false;
        faults.list = Some(|_| Box::new(std::iter::empty()));
    });
    let waits = |phase: &Phase| matches!(phase, Phase::Initializing { trouble: Some(_) });
    world.until(waits).await;
    refused(&world, "not loaded").await;
    world.fake.fault(|faults| faults.list = None);
    world.until(|phase| *phase == Phase::Ready).await;
    world.put("a/x", 1, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_into_a_store_that_is_being_filled() {
    let fake = Fake::new();
    fake.fault(|faults| faults.importing = Some(9));
    let mut world = World::start(fake, StoreConfig::default());
    let waits = |phase: &Phase| matches!(phase, Phase::Initializing { trouble: Some(_) });
    world.until(waits).await;
    refused(&world, "an import at the start").await;
    world.fake.fault(|faults| faults.importing = None);
    world.until(|phase| *phase == Phase::Ready).await;
    // Restarted in the midst of one.
    world.fake.kill();
    world.fake.fault(|faults| faults.importing = Some(9));
    world.fake.start();
    refused(&world, "an import after a restart").await;
    world.fake.fault(|faults| faults.importing = None);
    world.until(|phase| *phase == Phase::Ready).await;
    let created = world.write("a/x", create("a/x")).await;
    let Ok(WriteOutcome::Applied { revision, .. }) = created else {
        panic!("not created: {created:?}")
    };
    // The empty store that the import told of is not remembered.
    assert!(revision.get() < 9_u64 << 40);
}
