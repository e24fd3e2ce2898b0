//! Shutdown as a timeline of named signals, in the order they happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The signals of one server; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// 1. Somebody asked the server to stop: `/readyz` turns red, watches end.
    pub shutdown_initiated: CancellationToken,
    /// 2. The listener is closed and new requests on old connections are refused.
    pub not_accepting_new_requests: CancellationToken,
    /// 3. Every request but watches has been answered.
    pub requests_drained: CancellationToken,
    /// Counts requests that are not long-running.
    pub in_flight: TaskTracker,
    /// Set before the first signal, for those who look too often to take a lock each time.
    pub draining: Arc<AtomicBool>,
}

impl Lifecycle {
    /// A server that just started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the timeline up to the point where nothing is in flight any more.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.shutdown_initiated.cancel();
        self.not_accepting_new_requests.cancel();
        self.in_flight.close();
        self.in_flight.wait().await;
        self.requests_drained.cancel();
    }
}
