//! Invariants at the end of a run.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::events::{Kind, List, Object};
use super::watcher::{Arrival, Watched};
use super::writer::{Acknowledged, What, Written};
use crate::check::tries::{in_time, used};
use crate::measure::percentile;

/// Limit of the 99th percentile from the response of a write on one replica to its event at a
/// watcher of another.
const DELIVERY: Duration = Duration::from_millis(50);

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
    pub(super) fn judge(&self) -> Result<String> {
        let first = self.watched.first().context("no watchers")?;
        self.in_order(first)?;
        let deleted = self.replay(first)?;
        let unanswered: usize = self.written.iter().map(|it| it.unanswered).sum();
        let acknowledged = self.kept(first, &deleted)?;
        let events = first.arrivals.len();
        ensure!(
            events <= acknowledged + unanswered,
            "{events} events of {acknowledged} acknowledged writes and {unanswered} with unknown outcome"
        );
        let (quiet, all) = (self.latencies(Some(self.quiet)), self.latencies(None));
        let (p99, storm) = (percentile(&quiet, 99), percentile(&all, 99));
        let resumed: usize = self.watched.iter().map(|it| it.resumed).sum();
        let conflicts: usize = self.written.iter().map(|it| it.conflicts).sum();
        let figures = format!(
            "{events} events × {} watchers, {resumed} resumed, {} kills, {unanswered} writes \
             unanswered, {conflicts} conflicts, {:.0} writes/s in quiet; seen on another replica \
             in quiet p50 {:.1?}, p99 {p99:.1?}; over all p50 {:.1?}, p99 {storm:.1?}",
            self.watched.len(),
            self.kills,
            self.rate(),
            percentile(&quiet, 50),
            percentile(&all, 50),
        );
        in_time(used(p99, DELIVERY), figures)
    }

    /// Every watcher received the same complete sequence, once and in order.
    fn in_order(&self, first: &Watched) -> Result<()> {
        for (index, watched) in self.watched.iter().enumerate() {
            let seen = &watched.arrivals;
            for pair in seen.windows(2) {
                let (one, next) = (&pair[0].event, &pair[1].event);
                ensure!(
                    one.object.revision < next.object.revision,
                    "watcher {index}: {next:?} after {one:?}"
                );
            }
            let both = seen.iter().zip(&first.arrivals);
            let odd = both.clone().find(|(one, other)| one.event != other.event);
            ensure!(
                odd.is_none(),
                "watcher {index} and watcher 0 differ: {odd:?}"
            );
            let (seen, due) = (seen.len(), self.logged);
            ensure!(
                seen == due,
                "watcher {index} received {seen} of {due} changes"
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
        let due: Vec<&Object> = state.into_values().collect();
        let seen: Vec<&Object> = self.list.objects.iter().collect();
        ensure!(seen == due, "the final list is {seen:?}, expected {due:?}");
        Ok(deleted)
    }

    /// Every acknowledged write is among the events with the acknowledged content; returns their
    /// number.
    fn kept(&self, first: &Watched, deleted: &HashMap<(String, u64), u64>) -> Result<usize> {
        let events = first.arrivals.iter().map(|it| &it.event);
        let changes: HashMap<u64, &Object> = events
            .filter(|event| event.kind != Kind::Deleted)
            .map(|event| (event.object.revision, &event.object))
            .collect();
        let mut count = 0;
        for Acknowledged { what, replica, .. } in self.acknowledged() {
            count += 1;
            let kept = match what {
                What::Stored(object) => changes.get(&object.revision) == Some(&object),
                What::Deleted(name, at) => deleted.contains_key(&(name.clone(), *at)),
            };
            ensure!(kept, "lost write: replica {replica} acknowledged {what:?}");
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
                let (told, replica) = stored.get(&arrival.event.object.revision)?;
                let elsewhere = arrival.replica != *replica;
                // The event may arrive before the response.
                elsewhere.then(|| arrival.at.saturating_duration_since(*told))
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
