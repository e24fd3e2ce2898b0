//! A watcher: resumes from its last revision, and lists again when its revision has expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::call::Call;
use crate::change::Revision;
use crate::client::CallError;
use crate::history::{Arrival, Segment, WatchLog};
use crate::shared::{Route, Shared};

pub(crate) struct Watcher {
    shared: Arc<Shared>,
    route: Route,
    log: WatchLog,
    /// Publishes its position.
    position: Arc<AtomicU64>,
}

// === impl Watcher ===

impl Watcher {
    /// A watcher that begins with a segment at the server with this number.
    pub(crate) fn new(shared: &Arc<Shared>, number: usize, name: String, first: Segment) -> Self {
        let position = Arc::new(AtomicU64::new(first.end.get()));
        Self {
            shared: Arc::clone(shared),
            route: Route::new(shared, number),
            log: WatchLog {
                name,
                segments: vec![first],
                ..WatchLog::default()
            },
            position,
        }
    }

    pub(crate) fn published_position(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.position)
    }

    /// Watches until the target has been received, or an error that is a fault.
    pub(crate) async fn run(mut self) {
        while !self.is_done() {
            let Err(error) = self.follow().await else {
                break;
            };
            if error == CallError::Ended {
                continue;
            }
            let reason = error.reason();
            if self.log.ends.last().is_none_or(|last| last != reason) {
                self.log.ends.push(reason.to_owned());
            }
            if !self.shared.justifies(Call::Watch, &error) {
                break;
            }
            if matches!(error, CallError::Expired { .. }) {
                if !self.list().await {
                    break;
                }
            } else {
                self.route.after(&error).await;
            }
        }
        let log = self.log;
        self.shared.ledger.with(|history| history.watches.push(log));
    }

    fn is_done(&self) -> bool {
        let target = *self.shared.target.borrow();
        target.is_some_and(|target| self.log.position() >= target)
    }

    /// Begins a segment with a list, once there is one; returns false after a fault.
    async fn list(&mut self) -> bool {
        loop {
            let (_, client) = self.route.client().await;
            let error = match client.list().await {
                Ok(listing) => {
                    self.publish(listing.revision);
                    self.log.segments.push(Segment::listed(Arc::new(listing)));
                    return true;
                }
                Err(error) => error,
            };
            if !self.shared.justifies(Call::List, &error) {
                return false;
            }
            self.route.after(&error).await;
        }
    }

    /// Runs one watch to its end.
    async fn follow(&mut self) -> Result<(), CallError> {
        let (server, client) = self.route.client().await;
        let mut watch = client.watch(self.log.position()).await?;
        self.log.watches += 1;
        let mut target = self.shared.target.subscribe();
        loop {
            if self.is_done() {
                return Ok(());
            }
            let batch = tokio::select! {
                batch = watch.next() => batch?,
                _ = target.changed() => continue,
            };
            let at = Instant::now();
            let Some(segment) = self.log.segments.last_mut() else {
                return Ok(());
            };
            for event in batch.events {
                segment.arrivals.push(Arrival { event, server, at });
            }
            segment.end = segment.end.max(batch.up_to_revision);
            let end = segment.end;
            self.publish(end);
        }
    }

    fn publish(&self, revision: Revision) {
        self.shared.ledger.observe(revision);
        self.position.store(revision.get(), Ordering::Release);
    }
}
