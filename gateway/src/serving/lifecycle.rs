//! Shutdown as a sequence of named signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The signals of one server; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// 1. Shutdown was requested: `/readyz` fails, watches end.
    pub shutdown_initiated: CancellationToken,
    /// 2. The listener is closed, and new requests on open connections are rejected.
    pub not_accepting_new_requests: CancellationToken,
    /// 3. Every request except watches is complete.
    pub requests_drained: CancellationToken,
    /// Counts requests that are not long-running.
    pub in_flight: TaskTracker,
    /// Set before the first signal, for readers that check too often to take a lock each time.
    pub draining: Arc<AtomicBool>,
}

impl Lifecycle {
    /// The signals of a starting server.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the sequence until no request is in flight.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.shutdown_initiated.cancel();
        self.not_accepting_new_requests.cancel();
        self.in_flight.close();
        self.in_flight.wait().await;
        self.requests_drained.cancel();
    }
}
