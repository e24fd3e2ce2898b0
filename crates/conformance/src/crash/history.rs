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
pub(super) struct Evidence {
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

type Judge = fn(&Evidence) -> Check;

/// Rules that are checked after all kills.
pub(super) const SENTENCES: [(&str, Judge); 5] = [
    ("C2-nothing-acknowledged-is-lost", nothing_lost),
    ("C3-no-revision-is-used-twice", no_reuse),
    ("C4-the-revision-never-goes-back", never_back),
    ("C5-watchers-resume-without-gap-or-repeat", resumed),
    ("C6-op-ids-tell-open-outcomes", settled),
];

// === impl Evidence ===

impl Evidence {
    pub(super) fn restarted(&mut self, head: i64) {
        self.starts.push((self.newest, head));
        self.newest = self.newest.max(head);
    }

    pub(super) fn written(&mut self, told: Written) {
        let revisions = told.changes.iter().map(|change| change.revision);
        self.newest = revisions
            .chain([told.newest, self.newest])
            .max()
            .unwrap_or(0);
        self.acknowledged.extend(told.changes);
        self.lost.extend(told.problem);
    }

    pub(super) fn watched(&mut self, told: Watched) {
        self.newest = self.newest.max(told.through);
        self.torn.extend(told.problem);
    }

    pub(super) fn settled(&mut self, change: Change) {
        self.newest = self.newest.max(change.revision);
        self.acknowledged.push(change);
    }

    pub(super) fn unsettled(&mut self, problem: String) {
        self.unsettled.push(problem);
    }

    /// Records a read after `told` was observed.
    pub(super) fn read(&mut self, told: i64, head: i64) {
        self.starts.push((told, head));
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

fn nothing_lost(evidence: &Evidence) -> Check {
    if let Some(problem) = evidence.lost.first() {
        ensure!(false, "{problem}; {} such verdicts", evidence.lost.len());
    }
    let listed = some(evidence.stored.as_ref(), "the list at the end")?;
    // Expected content: the last acknowledged change of each key.
    let mut due: BTreeMap<&str, &Change> = BTreeMap::new();
    for change in &evidence.acknowledged {
        let last = due.entry(&change.path).or_insert(change);
        if change.revision > last.revision {
            *last = change;
        }
    }
    let alive = due.values().filter(|change| change.kind != Type::Deleted);
    let due: Vec<(&str, i64)> = alive.map(|c| (c.path.as_str(), c.revision)).collect();
    let seen = listed.records.iter().map(|record| {
        let path = record.key.as_ref().map(crate::bench::path_of);
        (path.unwrap_or_default(), record.revision)
    });
    let seen: Vec<(String, i64)> = seen.collect();
    let seen: Vec<(&str, i64)> = seen.iter().map(|(path, at)| (path.as_str(), *at)).collect();
    same!(seen, due, "records at the end");
    for watcher in &evidence.watchers {
        let shown: BTreeSet<i64> = watcher.changes().iter().map(|c| c.revision).collect();
        let missing = evidence
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

fn no_reuse(evidence: &Evidence) -> Check {
    let mut given: BTreeMap<i64, &Change> = BTreeMap::new();
    for change in &evidence.acknowledged {
        let before = given.insert(change.revision, change);
        ensure!(
            before.is_none(),
            "revision {} was given twice: {before:?} and {change:?}",
            change.revision
        );
    }
    for change in evidence.watchers.iter().flat_map(Watcher::changes) {
        let due = *given.entry(change.revision).or_insert(change);
        same!(change, due, "what revision {} is", change.revision);
    }
    Ok(())
}

fn never_back(evidence: &Evidence) -> Check {
    for (told, head) in &evidence.starts {
        ensure!(
            head >= told,
            "the revision is {head}, after {told} had been told"
        );
    }
    Ok(())
}

fn resumed(evidence: &Evidence) -> Check {
    if let Some(problem) = evidence.torn.first() {
        ensure!(false, "{problem}; {} such streams", evidence.torn.len());
    }
    let listed = some(evidence.stored.as_ref(), "the list at the end")?;
    let mut due: Vec<&Change> = evidence.acknowledged.iter().collect();
    due.sort_by_key(|change| change.revision);
    for watcher in &evidence.watchers {
        // Every operation was settled, so watchers must have seen exactly the acknowledged changes.
        let seen: Vec<&Change> = watcher.changes().iter().collect();
        let first = due.partition_point(|change| change.revision <= watcher.start());
        let due = &due[first..];
        let odd = seen.iter().zip(due).find(|(seen, due)| seen != due);
        ensure!(odd.is_none(), "a watcher saw, and was due to see: {odd:?}");
        same!(seen.len(), due.len(), "changes that a watcher saw");
        if let Some(replay) = watcher.replay() {
            replay.matches(&listed.records, "the list at the end of a watch")?;
        }
    }
    Ok(())
}

fn settled(evidence: &Evidence) -> Check {
    if let Some(problem) = evidence.unsettled.first() {
        ensure!(
            false,
            "{problem}; {} such operations",
            evidence.unsettled.len()
        );
    }
    Ok(())
}
