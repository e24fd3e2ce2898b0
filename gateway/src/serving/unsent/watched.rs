//! Ends what carries an answer when its client takes too long.
//!
//! An answer's body cannot end itself: as long as the client takes nothing, hyper does not poll it. So what
//! polls it, the task of an HTTP/2 stream or of an HTTP/1 connection, is dropped from outside. h2 then resets
//! the stream and frees what was queued for it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Pace;

tokio::task_local! {
    /// What polls the body that is being polled.
    static CARRIER: Arc<Carrier>;
}

/// The answer that a task carries at the moment.
#[derive(Debug, Default)]
struct Carrier {
    pace: Mutex<Option<Arc<Pace>>>,
    changed: Notify,
}

/// Runs what carries answers; ends it, with `None`, when an answer is overdue.
pub async fn watched<F: Future>(future: F) -> Option<F::Output> {
    let carrier = Arc::<Carrier>::default();
    let mut carried = pin!(CARRIER.scope(Arc::clone(&carrier), future));
    tokio::select! {
        biased;
        done = carried.as_mut() => Some(done),
        () = carrier.overdue() => None,
    }
}

/// From now on whoever polls the caller is ended when this answer is overdue.
pub(crate) fn watch_over(pace: &Arc<Pace>) {
    // Tests of single layers poll bodies themselves.
    let _ = CARRIER.try_with(|carrier| {
        *carrier.pace.lock() = Some(Arc::clone(pace));
        carrier.changed.notify_one();
    });
}

impl Carrier {
    /// Returns when the answer is overdue.
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

    /// The answer under way, if there is one.
    fn current(&self) -> Option<Arc<Pace>> {
        let mut pace = self.pace.lock();
        if pace.as_ref().is_some_and(|pace| pace.is_over()) {
            *pace = None;
        }
        pace.clone()
    }
}
