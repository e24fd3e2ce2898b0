//! Latencies of deliveries to other replicas.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use workload::{History, Outcome, Revision};

/// A part of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

// === impl Window ===

impl Window {
    pub(super) fn of(begin: Instant, length: Duration) -> Self {
        let end = begin + length;
        Self { begin, end }
    }

    fn holds(&self, at: Instant) -> bool {
        self.begin <= at && at < self.end
    }

    /// Acknowledged writes per second.
    pub(super) fn rate(&self, history: &History) -> f64 {
        let times = history.acknowledged().filter_map(|it| match it.outcome {
            Outcome::Acknowledged { at, .. } => Some(at),
            Outcome::Unknown | Outcome::Overtaken => None,
        });
        let count = times.filter(|at| self.holds(*at)).count();
        count as f64 / (self.end - self.begin).as_secs_f64()
    }
}

/// Latencies from responses, in a part of the run, to events at watchers of other replicas; sorted.
pub(super) fn latencies(history: &History, window: Option<Window>) -> Vec<Duration> {
    let stored = history.acknowledged().filter_map(|it| match it.outcome {
        Outcome::Acknowledged {
            revision: Some(revision),
            server,
            at,
            ..
        } => Some((revision, (at, server))),
        Outcome::Acknowledged { .. } | Outcome::Unknown | Outcome::Overtaken => None,
    });
    let stored: HashMap<Revision, (Instant, usize)> = stored
        .filter(|(_, (at, _))| window.is_none_or(|window| window.holds(*at)))
        .collect();
    let arrivals = history.watches.iter().flat_map(|log| log.arrivals());
    let mut latencies: Vec<Duration> = arrivals
        .filter_map(|arrival| {
            let (acknowledged_at, server) = stored.get(&arrival.event.revision)?;
            let other_replica = arrival.server != *server;
            // The event may arrive before the response.
            other_replica.then(|| arrival.at.saturating_duration_since(*acknowledged_at))
        })
        .collect();
    latencies.sort_unstable();
    latencies
}
