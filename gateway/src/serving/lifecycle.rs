//! Shutdown as a sequence of named signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The signals of one server; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// 1. Shutdown was requested: `/readyz` fails, and everything is served.
    pub shutdown_initiated: CancellationToken,
    /// 2. The delay is over. The listener is closed, watches end, connections get GOAWAY, and new
    ///    requests on open connections are rejected.
    pub not_accepting_new_requests: CancellationToken,
    /// 3. Every request except watches is complete.
    pub requests_drained: CancellationToken,
    /// Counts requests that are not long-running.
    pub in_flight: TaskTracker,
    /// Set before the second signal, for readers that check too often to take a lock each time.
    pub draining: Arc<AtomicBool>,
}

impl Lifecycle {
    /// The signals of a starting server.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the sequence until no request is in flight. Requests are served for `delay` after the
    /// first signal, so that clients that watch `/readyz` go elsewhere before connections end.
    pub async fn drain(&self, delay: Duration) {
        self.shutdown_initiated.cancel();
        sleep(delay).await;
        self.draining.store(true, Ordering::Release);
        self.not_accepting_new_requests.cancel();
        self.in_flight.close();
        self.in_flight.wait().await;
        self.requests_drained.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_served_until_the_delay_is_over() {
        let lifecycle = Lifecycle::new();
        let request = lifecycle.in_flight.token();
        let draining = lifecycle.drain(Duration::from_secs(15));
        let observing = async {
            sleep(Duration::from_secs(14)).await;
            assert!(lifecycle.shutdown_initiated.is_cancelled());
            assert!(!lifecycle.not_accepting_new_requests.is_cancelled());
            assert!(!lifecycle.draining.load(Ordering::Acquire));
            sleep(Duration::from_secs(2)).await;
            assert!(lifecycle.not_accepting_new_requests.is_cancelled());
            assert!(lifecycle.draining.load(Ordering::Acquire));
            assert!(!lifecycle.requests_drained.is_cancelled());
            drop(request);
        };
        tokio::join!(draining, observing);
        assert!(lifecycle.requests_drained.is_cancelled());
    }
}
