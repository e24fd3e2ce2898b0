//! The load at every endpoint of one store, whatever happens to the store behind the drivers.
//!
//! The drivers stay up, so failures of the store must be reported as typed errors that ask for a
//! retry. A missing record, a revision below an observed one, or a watch that must start over is a
//! violation. After an error a client continues at the next endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use workload::{Options, Routing, Tolerance, Workload};

use super::grpc::Drivers;
use super::{options, rows, scripts};
use crate::client::Client;
use crate::context::{CaseContext, RunOptions};
use crate::report::Row;
use backend_client::Endpoint;

/// Pause between two reads.
const PAUSE: Duration = Duration::from_millis(20);

/// Size of the load.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Number of writers, each with its own keys, distributed over the endpoints.
    pub writers: usize,
    /// Number of watchers from the beginning, distributed over the endpoints.
    pub watchers: usize,
    /// Whether to start one more watcher, at every endpoint, from each acknowledged revision.
    pub from_every_revision: bool,
}

/// A running load.
pub struct Soak(Workload);

/// Results of a load.
#[derive(Debug)]
pub struct SoakReport {
    /// Results of the rules of crash mode.
    pub rows: Vec<Row>,
    /// Number of acknowledged changes.
    pub acknowledged: u64,
    /// Errors returned to clients, by call and reason.
    pub errors: BTreeMap<String, u64>,
    /// The longest duration of a write, successful or not.
    pub slowest: Duration,
}

// === impl Soak ===

impl Soak {
    /// Starts the load.
    ///
    /// # Errors
    /// If the store does not respond before any fault is injected.
    pub async fn start(endpoints: &[Endpoint], seed: u64, size: Size) -> Result<Self, String> {
        let first = endpoints.first();
        let first = first.ok_or_else(|| "a soak needs an endpoint".to_owned())?;
        let described = Client::new(first).describe().await;
        let described = described.map_err(|status| status.to_string())?;
        let context = CaseContext::new(first, &described, RunOptions { seed, long: false });
        let contexts = endpoints.iter().map(|endpoint| context.at(endpoint));
        let options = Options {
            writers: scripts(size.writers),
            watchers: size.watchers,
            from_every_revision: size.from_every_revision,
            readers: Some(PAUSE),
            tolerance: Tolerance::SERVERS_STAY_UP,
            routing: Routing::NextAfterError,
            ..options()
        };
        let drivers = Arc::new(Drivers::new(contexts.collect()));
        let started = Workload::start(drivers, options).await;
        started.map(Self).map_err(|error| error.to_string())
    }

    /// Number of acknowledged changes so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.0.acknowledged()
    }

    /// Errors returned to clients so far, by call and reason.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.0.errors()
    }

    /// Waits until `more` further changes are acknowledged.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub async fn progress(&self, more: u64, limit: Duration) -> Result<(), String> {
        let progress = self.0.progress(more, limit).await;
        progress.map_err(|error| error.to_string())
    }

    /// Stops the writers, settles open operations, lets every watcher read to the last change, and
    /// checks all rules. The store must be available again.
    ///
    /// # Errors
    /// If a client does not finish in time.
    pub async fn finish(mut self) -> Result<SoakReport, String> {
        let stopped = self.0.stop_writers().await;
        stopped.map_err(|error| error.to_string())?;
        let (errors, slowest) = (self.errors(), self.0.slowest());
        let acknowledged = self.acknowledged();
        let (verdict, _) = self
            .0
            .finish(&[])
            .await
            .map_err(|error| error.to_string())?;
        Ok(SoakReport {
            rows: rows(&verdict),
            acknowledged,
            errors,
            slowest,
        })
    }
}
