//! Tests of the model's revisions over random histories.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use conformance::ModelDriver;
use conformance::epochs::{Clock, Stores, walk, write_to_the_last_revision};
use sidecar::Driver;

struct Models;

#[async_trait]
impl Stores for Models {
    type Store = ModelDriver;

    async fn make(&mut self, clock: fn() -> SystemTime) -> ModelDriver {
        ModelDriver::with_clock(clock)
    }

    async fn restore(&mut self, from: &mut ModelDriver, _clock: fn() -> SystemTime) -> ModelDriver {
        from.restored()
    }

    fn driver(&self, store: &ModelDriver) -> Arc<dyn Driver> {
        Arc::new(store.clone())
    }
}

#[tokio::test]
async fn writes_above_last_revision_are_rejected() {
    write_to_the_last_revision(&ModelDriver::new()).await;
}

// One test for all properties, because the histories share a global clock.
#[tokio::test]
async fn revisions_stay_in_range_and_are_unique_over_random_histories() {
    for seed in 0..200 {
        walk(Models, seed, Clock::OneDay).await;
        walk(Models, seed, Clock::Jumps).await;
    }
}
