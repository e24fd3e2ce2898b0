//! Recorded responses of clients, and the checks on them.

use std::collections::{BTreeMap, BTreeSet};

use backend_proto::v1::Origin;
use backend_proto::v1::event::Type;

use super::load::{Watched, Watcher, Written};
use crate::check::{Check, ensure, same, some};
use crate::client::Listed;

/// A change, as returned to its writer or a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) revision: i64,
    pub(super) kind: Type,
    pub(super) path: String,
    /// Number of the stored or deleted value.
    pub(super) value: u64,
    /// Origin in the event, from drivers that store it.
    pub(super) origin: Option<Origin>,
}

/// Records from all runs of the driver.
#[derive(Debug, Default)]
pub(super) struct History {
    acknowledged: Vec<Change>,
    /// Per start: the newest revision observed before, and the revision of the store after.
    starts: Vec<(i64, i64)>,
    newest: i64,
    lost: Vec<String>,
    unsettled: Vec<String>,
    torn: Vec<String>,
    watchers: Vec<Watcher>,
    stored: Option<Listed>,
}

type Rule = fn(&History) -> Check;

/// Rules that are checked after all kills.
pub(super) const RULES: [(&str, Rule); 5] = [
    ("C2-nothing-acknowledged-is-lost", nothing_lost),
    ("C3-no-revision-is-used-twice", no_reuse),
    ("C4-the-revision-never-goes-back", never_back),
    ("C5-watchers-resume-without-gap-or-repeat", resumed),
    ("C6-op-ids-tell-open-outcomes", settled),
];

// === impl History ===

impl History {
    pub(super) fn restarted(&mut self, head: i64) {
        self.starts.push((self.newest, head));
        self.newest = self.newest.max(head);
    }

    pub(super) fn written(&mut self, observed: Written) {
        let revisions = observed.changes.iter().map(|change| change.revision);
        self.newest = revisions
            .chain([observed.newest, self.newest])
            .max()
            .unwrap_or(0);
        self.acknowledged.extend(observed.changes);
        self.lost.extend(observed.problem);
    }

    pub(super) fn watched(&mut self, observed: Watched) {
        self.newest = self.newest.max(observed.up_to_revision);
        self.torn.extend(observed.problem);
    }

    pub(super) fn settled(&mut self, change: Change) {
        self.newest = self.newest.max(change.revision);
        self.acknowledged.push(change);
    }

    pub(super) fn unsettled(&mut self, problem: String) {
        self.unsettled.push(problem);
    }

    /// Records a read after `observed` was observed.
    pub(super) fn read(&mut self, observed: i64, head: i64) {
        self.starts.push((observed, head));
    }

    /// Records that a written record was missing.
    pub(super) fn lost(&mut self, problem: String) {
        self.lost.push(problem);
    }

    /// Merges the records of another client.
    pub(super) fn join(&mut self, other: Self) {
        self.newest = self.newest.max(other.newest);
        self.acknowledged.extend(other.acknowledged);
        self.starts.extend(other.starts);
        self.lost.extend(other.lost);
        self.unsettled.extend(other.unsettled);
        self.torn.extend(other.torn);
        self.watchers.extend(other.watchers);
    }

    pub(super) fn finished(&mut self, watcher: Watcher) {
        self.watchers.push(watcher);
    }

    pub(super) fn stored(&mut self, listed: Listed) {
        self.stored = Some(listed);
    }

    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    pub(super) fn changes(&self) -> usize {
        self.acknowledged.len()
    }
}

fn nothing_lost(history: &History) -> Check {
    if let Some(problem) = history.lost.first() {
        ensure!(false, "{problem}; {} such verdicts", history.lost.len());
    }
    let listed = some(history.stored.as_ref(), "the list at the end")?;
    // Expected content: the last acknowledged change of each key.
    let mut expected: BTreeMap<&str, &Change> = BTreeMap::new();
    for change in &history.acknowledged {
        let last = expected.entry(&change.path).or_insert(change);
        if change.revision > last.revision {
            *last = change;
        }
    }
    let alive = expected
        .values()
        .filter(|change| change.kind != Type::Deleted);
    let expected: Vec<(&str, i64)> = alive.map(|c| (c.path.as_str(), c.revision)).collect();
    let received = listed.records.iter().map(|record| {
        let path = record.key.as_ref().map(crate::context::path_of);
        (path.unwrap_or_default(), record.revision)
    });
    let received: Vec<(String, i64)> = received.collect();
    let received: Vec<(&str, i64)> = received
        .iter()
        .map(|(path, at)| (path.as_str(), *at))
        .collect();
    same!(received, expected, "records at the end");
    for watcher in &history.watchers {
        let shown: BTreeSet<i64> = watcher.changes().iter().map(|c| c.revision).collect();
        let missing = history
            .acknowledged
            .iter()
            .filter(|c| c.revision > watcher.start())
            .find(|c| !shown.contains(&c.revision));
        ensure!(
            missing.is_none(),
            "acknowledged, but in no watch: {missing:?}"
        );
    }
    Ok(())
}

fn no_reuse(history: &History) -> Check {
    let mut given: BTreeMap<i64, &Change> = BTreeMap::new();
    for change in &history.acknowledged {
        let before = given.insert(change.revision, change);
        ensure!(
            before.is_none(),
            "revision {} was given twice: {before:?} and {change:?}",
            change.revision
        );
    }
    for change in history.watchers.iter().flat_map(Watcher::changes) {
        let expected = *given.entry(change.revision).or_insert(change);
        same!(change, expected, "what revision {} is", change.revision);
    }
    Ok(())
}

fn never_back(history: &History) -> Check {
    for (observed, head) in &history.starts {
        ensure!(
            head >= observed,
            "the revision is {head}, below the observed {observed}"
        );
    }
    Ok(())
}

fn resumed(history: &History) -> Check {
    if let Some(problem) = history.torn.first() {
        ensure!(false, "{problem}; {} such streams", history.torn.len());
    }
    let listed = some(history.stored.as_ref(), "the list at the end")?;
    let mut expected: Vec<&Change> = history.acknowledged.iter().collect();
    expected.sort_by_key(|change| change.revision);
    for watcher in &history.watchers {
        // Every operation was settled, so watchers must have seen exactly the acknowledged changes.
        let received: Vec<&Change> = watcher.changes().iter().collect();
        let first = expected.partition_point(|change| change.revision <= watcher.start());
        let expected = &expected[first..];
        let odd = received
            .iter()
            .zip(expected)
            .find(|(received, expected)| received != expected);
        ensure!(odd.is_none(), "a watcher saw, and was due to see: {odd:?}");
        same!(received.len(), expected.len(), "changes that a watcher saw");
        if let Some(replay) = watcher.replay() {
            replay.matches(&listed.records, "the list at the end of a watch")?;
        }
    }
    Ok(())
}

fn settled(history: &History) -> Check {
    if let Some(problem) = history.unsettled.first() {
        ensure!(
            false,
            "{problem}; {} such operations",
            history.unsettled.len()
        );
    }
    Ok(())
}
