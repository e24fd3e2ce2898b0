//! Ends the carrier of a response whose client exceeds its timeout.
//!
//! A response body cannot end itself: while the client does not read, hyper does not poll it.
//! Therefore the task that polls it, of an HTTP/2 stream or an HTTP/1 connection, is dropped from
//! outside. h2 then resets the stream and frees its queued data.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Pace;

tokio::task_local! {
    /// The carrier of the body that is being polled.
    static CARRIER: Arc<Carrier>;
}

/// The current response of a task.
#[derive(Debug, Default)]
struct Carrier {
    pace: Mutex<Option<Arc<Pace>>>,
    changed: Notify,
}

/// Runs a carrier of responses; ends it with `None` when a response exceeds its timeout.
pub async fn watched<F: Future>(future: F) -> Option<F::Output> {
    let carrier = Arc::<Carrier>::default();
    let mut carried = pin!(CARRIER.scope(Arc::clone(&carrier), future));
    tokio::select! {
        biased;
        done = carried.as_mut() => Some(done),
        () = carrier.overdue() => None,
    }
}

/// Registers the response with the carrier that polls the caller; false without a carrier, as in
/// tests of single layers.
pub(crate) fn watch_over(pace: &Arc<Pace>) -> bool {
    let carried = CARRIER.try_with(|carrier| {
        *carrier.pace.lock() = Some(Arc::clone(pace));
        carrier.changed.notify_one();
    });
    carried.is_ok()
}

impl Carrier {
    /// Returns when the response exceeds its timeout.
    async fn overdue(&self) {
        loop {
            self.changed.notified().await;
            while let Some(pace) = self.current() {
                let now = Instant::now();
                if pace.is_overdue(now) {
                    return;
                }
                sleep_until(pace.next_look(now)).await;
            }
        }
    }

    /// The current response, if any.
    fn current(&self) -> Option<Arc<Pace>> {
        let mut pace = self.pace.lock();
        if pace.as_ref().is_some_and(|pace| pace.is_over()) {
            *pace = None;
        }
        pace.clone()
    }
}
