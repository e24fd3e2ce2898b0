//! What all requests of an audit share: policy, queues, and the memory of events.

use std::sync::Arc;

use tokio::time::Instant;

use super::backend::Queues;
use super::event::Event;
use super::metrics::{Metrics, Plugin};
use super::policy::Policy;
use crate::request::recording::Budget;

/// Memory of all events that are not written yet, with their bodies, bytes. Bodies are shared with
/// the request, the cache and the response, but counted in full.
const BUDGET: usize = 64 << 20;
/// The shared state of an audit.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) policy: Policy,
    queues: Queues,
    pub(super) budget: Budget,
    pub(super) metrics: Metrics,
}

impl Inner {
    pub(super) fn new(policy: Policy, queues: Queues, metrics: Metrics) -> Self {
        Self {
            policy,
            queues,
            budget: Budget::new(BUDGET),
            metrics,
        }
    }

    /// Submits an event, and in a blocking mode waits until it is stored. Returns whether a backend
    /// that must store it could not.
    pub(super) async fn store(&self, event: Event, deadline: Instant) -> bool {
        match self.charged(event) {
            Some(event) => self.queues.store(event, deadline).await,
            None => !self.queues.are_strict(),
        }
    }

    /// Submits an event without waiting.
    pub(super) fn submit(&self, event: Event) {
        if let Some(event) = self.charged(event) {
            self.queues.submit(&event);
        }
    }

    /// Charges the memory of an event. Without enough it is lost, as one for which the queue has no
    /// room.
    fn charged(&self, mut event: Event) -> Option<Arc<Event>> {
        self.metrics.event();
        match self.budget.charge(event.weight()) {
            Some(charge) => {
                event.charge = Some(charge);
                Some(Arc::new(event))
            }
            None => {
                let reason = "the memory for audit events is in use";
                self.metrics.lost(Plugin::Buffered, 1, &reason);
                None
            }
        }
    }
}
