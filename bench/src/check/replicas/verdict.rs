//! Invariants at the end of a run.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::events::{Kind, List, Object};
use super::watcher::{Arrival, Watched};
use super::writer::{Acknowledged, What, Written};
use crate::check::retry::{used, within_limit};
use crate::measure::percentile;

/// Limit of the 99th percentile from the response of a write on one replica to its event at a
/// watcher of another.
const MAX_DELIVERY_LATENCY: Duration = Duration::from_millis(50);

/// A part of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

/// Everything that was recorded.
pub(super) struct Run {
    pub(super) written: Vec<Written>,
    pub(super) watched: Vec<Watched>,
    /// The list at the end.
    pub(super) list: List,
    /// Rows in the store's log.
    pub(super) logged: usize,
    /// The part without kills.
    pub(super) quiet: Window,
    pub(super) kills: usize,
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
}

// === impl Run ===

impl Run {
    /// The figures, or the violated guarantee.
    pub(super) fn validate(&self) -> Result<String> {
        let first = self.watched.first().context("no watchers")?;
        self.in_order(first)?;
        let deleted = self.replay(first)?;
        let unknown_outcomes: usize = self.written.iter().map(|it| it.unknown_outcomes).sum();
        let acknowledged = self.count_acknowledged(first, &deleted)?;
        let events = first.arrivals.len();
        ensure!(
            events <= acknowledged + unknown_outcomes,
            "{events} events of {acknowledged} acknowledged writes and {unknown_outcomes} with unknown outcome"
        );
        let (quiet, all) = (self.latencies(Some(self.quiet)), self.latencies(None));
        let (p99, p99_all) = (percentile(&quiet, 99), percentile(&all, 99));
        let resumed: usize = self.watched.iter().map(|it| it.resumed).sum();
        let conflicts: usize = self.written.iter().map(|it| it.conflicts).sum();
        let figures = format!(
            "{events} events × {} watchers, {resumed} resumed, {} kills, {unknown_outcomes} writes \
             with unknown outcome, {conflicts} conflicts; without kills {:.0} writes/s, delivery \
             to other replicas p50 {:.1?}, p99 {p99:.1?}; whole run p50 {:.1?}, p99 {p99_all:.1?}",
            self.watched.len(),
            self.kills,
            self.rate(),
            percentile(&quiet, 50),
            percentile(&all, 50),
        );
        within_limit(used(p99, MAX_DELIVERY_LATENCY), figures)
    }

    /// Every watcher received the same complete sequence, once and in order.
    fn in_order(&self, first: &Watched) -> Result<()> {
        for (index, watched) in self.watched.iter().enumerate() {
            let received = &watched.arrivals;
            for pair in received.windows(2) {
                let (one, next) = (&pair[0].event, &pair[1].event);
                ensure!(
                    one.object.revision < next.object.revision,
                    "watcher {index}: {next:?} after {one:?}"
                );
            }
            let both = received.iter().zip(&first.arrivals);
            let difference = both.clone().find(|(one, other)| one.event != other.event);
            ensure!(
                difference.is_none(),
                "watcher {index} and watcher 0 differ: {difference:?}"
            );
            let (received, expected) = (received.len(), self.logged);
            ensure!(
                received == expected,
                "watcher {index} received {received} of {expected} changes"
            );
        }
        Ok(())
    }

    /// The events add up to the final list; returns the deletes by name and deleted revision.
    fn replay(&self, first: &Watched) -> Result<HashMap<(String, u64), u64>> {
        let mut state: BTreeMap<&str, &Object> = BTreeMap::new();
        let mut deleted = HashMap::new();
        for Arrival { event, .. } in &first.arrivals {
            let object = &event.object;
            let known = state.insert(&object.name, object);
            let fits = known.is_some() == (event.kind != Kind::Added);
            ensure!(fits, "{event:?} after {known:?}");
            if event.kind == Kind::Deleted {
                state.remove(object.name.as_str());
                let known = known.map_or(0, |known| known.revision);
                deleted.insert((object.name.clone(), known), object.revision);
            }
        }
        let expected: Vec<&Object> = state.into_values().collect();
        let received: Vec<&Object> = self.list.objects.iter().collect();
        ensure!(
            received == expected,
            "the final list is {received:?}, expected {expected:?}"
        );
        Ok(deleted)
    }

    /// Every acknowledged write is among the events with the acknowledged content; returns their
    /// number.
    fn count_acknowledged(
        &self,
        first: &Watched,
        deleted: &HashMap<(String, u64), u64>,
    ) -> Result<usize> {
        let events = first.arrivals.iter().map(|it| &it.event);
        let changes: HashMap<u64, &Object> = events
            .filter(|event| event.kind != Kind::Deleted)
            .map(|event| (event.object.revision, &event.object))
            .collect();
        let mut count = 0;
        for Acknowledged { what, replica, .. } in self.acknowledged() {
            count += 1;
            let delivered = match what {
                What::Stored(object) => changes.get(&object.revision) == Some(&object),
                What::Deleted(name, at) => deleted.contains_key(&(name.clone(), *at)),
            };
            ensure!(
                delivered,
                "lost write: replica {replica} acknowledged {what:?}"
            );
        }
        Ok(count)
    }

    fn acknowledged(&self) -> impl Iterator<Item = &Acknowledged> {
        self.written.iter().flat_map(|it| &it.acknowledged)
    }

    /// Latencies from responses in a part of the run to events at watchers of other replicas,
    /// sorted.
    fn latencies(&self, window: Option<Window>) -> Vec<Duration> {
        let stored = self.acknowledged().filter_map(|it| match &it.what {
            What::Stored(object) => Some((object.revision, (it.at, it.replica))),
            What::Deleted(..) => None,
        });
        let stored: HashMap<u64, (Instant, usize)> = stored
            .filter(|(_, (at, _))| window.is_none_or(|window| window.holds(*at)))
            .collect();
        let arrivals = self.watched.iter().flat_map(|it| &it.arrivals);
        let mut latencies: Vec<Duration> = arrivals
            .filter_map(|arrival| {
                let (acknowledged_at, replica) = stored.get(&arrival.event.object.revision)?;
                let other_replica = arrival.replica != *replica;
                // The event may arrive before the response.
                other_replica.then(|| arrival.at.saturating_duration_since(*acknowledged_at))
            })
            .collect();
        latencies.sort_unstable();
        latencies
    }

    /// Acknowledged writes per second in the part without kills.
    fn rate(&self) -> f64 {
        let quiet = self.acknowledged().filter(|it| self.quiet.holds(it.at));
        quiet.count() as f64 / (self.quiet.end - self.quiet.begin).as_secs_f64()
    }
}
