//! The verdict on a history: every violated guarantee, by functions of the history alone.

mod stored;
mod watches;
mod writes;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::change::{Event, Object, Revision};
use crate::fault::{Fault, Guarantee};
use crate::history::{Attempt, History};

/// Faults of one guarantee that are printed.
const PRINTED: usize = 5;

/// How epochs of the store are recognized. In a new epoch, acknowledged writes may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epochs {
    /// The epoch must not change.
    One,
    /// The protocol reports them.
    Observed,
    /// Revisions of two epochs differ by at least this number.
    Gap(u64),
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// All faults that were kept, those during the run first.
    pub faults: Vec<Fault>,
    /// Number of faults that were not kept.
    pub more: usize,
    /// Number of acknowledged writes.
    pub acknowledged: usize,
    /// Number of writes with unknown outcome.
    pub unknown: usize,
    /// Number of different changes that watchers received.
    pub changes: usize,
}

/// History with what several rules need.
struct Facts<'a> {
    history: &'a History,
    epochs: BTreeSet<Revision>,
    /// Whether a new epoch is no fault.
    may_change: bool,
    /// Every change that an event delivered, by revision.
    delivered: BTreeMap<Revision, &'a Event>,
    faults: History,
}

/// Judges a history after all clients have ended.
#[must_use]
pub fn judge(history: &History, epochs: Epochs) -> Verdict {
    let mut facts = Facts::new(history, epochs);
    facts.changes_are_unique();
    facts.epochs_are_expected(epochs);
    for log in &history.watches {
        facts.watch(log);
    }
    facts.every_event_has_a_write();
    facts.every_write_was_delivered();
    facts.newest_writes_are_stored();
    facts.other_objects_are_unchanged();
    facts.lists_agree();
    let acknowledged = history.acknowledged().count();
    if acknowledged == 0 {
        facts.fault(Fault::NoLoad);
    }
    let found = facts.faults;
    let changes = facts.delivered.len();
    Verdict {
        faults: history.faults.iter().cloned().chain(found.faults).collect(),
        more: history.more_faults + found.more_faults,
        acknowledged,
        unknown: history.unknown(),
        changes,
    }
}

// === impl Facts ===

impl<'a> Facts<'a> {
    fn new(history: &'a History, epochs: Epochs) -> Self {
        let mut delivered = BTreeMap::new();
        for log in &history.watches {
            for arrival in log.arrivals() {
                let event = &arrival.event;
                delivered.entry(event.revision).or_insert(event);
            }
        }
        let mut known = history.epochs.clone();
        if let Epochs::Gap(gap) = epochs {
            let acknowledged = history.acknowledged().filter_map(Attempt::revision);
            let segments = history.watches.iter().flat_map(|log| &log.segments);
            let starts = segments.map(|segment| segment.start);
            let observed = acknowledged.chain(starts).chain(delivered.keys().copied());
            let all: BTreeSet<Revision> = observed.collect();
            let mut last: Option<Revision> = None;
            for revision in all {
                if last.is_none_or(|last| revision.get() - last.get() >= gap) {
                    known.insert(revision);
                }
                last = Some(revision);
            }
        }
        Self {
            history,
            epochs: known,
            may_change: epochs != Epochs::One,
            delivered,
            faults: History::default(),
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.faults.fault(fault);
    }

    /// The epoch of a revision; `None` before the first observed one.
    fn epoch(&self, revision: Revision) -> Option<Revision> {
        self.epochs.range(..=revision).next_back().copied()
    }

    fn epochs_are_expected(&mut self, epochs: Epochs) {
        if epochs == Epochs::One {
            let later: Vec<Revision> = self.epochs.iter().skip(1).copied().collect();
            for epoch in later {
                self.fault(Fault::NewEpoch(epoch));
            }
        }
    }
}

/// Text of a state for messages.
fn shown(object: Option<&Object>) -> String {
    object.map_or("nothing".to_owned(), |object| {
        let Object {
            revision, number, ..
        } = object;
        format!("write {number} at {revision}")
    })
}

// === impl Verdict ===

impl Verdict {
    /// Faults of a guarantee.
    pub fn of(&self, guarantee: Guarantee) -> impl Iterator<Item = &Fault> {
        let faults = self.faults.iter();
        faults.filter(move |fault| fault.guarantee() == guarantee)
    }

    /// Whether no guarantee was violated.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// The first faults of a guarantee in one sentence, or success.
    ///
    /// # Errors
    /// If it was violated.
    pub fn check(&self, guarantee: Guarantee) -> Result<(), String> {
        let count = self.of(guarantee).count();
        let first: Vec<String> = self.of(guarantee).take(2).map(Fault::to_string).collect();
        match count {
            0 => Ok(()),
            1 | 2 => Err(first.join("; ")),
            _ => Err(format!("{}; {count} such faults", first.join("; "))),
        }
    }

    /// Success, or the report of all faults.
    ///
    /// # Errors
    /// If any guarantee was violated.
    pub fn result(&self) -> Result<(), String> {
        if self.is_clean() {
            Ok(())
        } else {
            Err(self.to_string())
        }
    }
}

/// Formats the faults by guarantee.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            unknown,
            changes,
            ..
        } = self;
        write!(
            f,
            "{acknowledged} writes acknowledged, {unknown} with unknown outcome, {changes} changes \
             delivered"
        )?;
        for guarantee in Guarantee::ALL {
            let count = self.of(guarantee).count();
            if count == 0 {
                continue;
            }
            write!(f, "\nviolated: {guarantee} ({count} faults)")?;
            for fault in self.of(guarantee).take(PRINTED) {
                write!(f, "\n  {fault}")?;
            }
            if count > PRINTED {
                write!(f, "\n  and {} more", count - PRINTED)?;
            }
        }
        if self.more > 0 {
            write!(f, "\n{} further faults", self.more)?;
        }
        Ok(())
    }
}
