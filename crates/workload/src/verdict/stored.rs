//! Rules of the final state.

use std::collections::{BTreeSet, HashMap};

use super::{Facts, shown};
use crate::change::{Key, Kind, Object, Revision};
use crate::fault::Fault;
use crate::history::{Attempt, Outcome};

/// The last acknowledged write of a key, and the later ones with unknown outcome.
#[derive(Default)]
struct Last<'a> {
    acknowledged: Option<&'a Attempt>,
    /// Newest acknowledged revision of the key, which a deletion may not have.
    revision: Option<Revision>,
    unknown: Vec<&'a Attempt>,
}

impl<'a> Facts<'a> {
    /// The final state of a key is that of its last acknowledged write, or of a later write with
    /// unknown outcome. A write of an earlier epoch may be lost.
    pub(super) fn newest_writes_are_stored(&mut self) {
        let Some(stored) = self.history.stored.first() else {
            return;
        };
        let current = self.epoch(stored.revision);
        let mut found = Vec::new();
        for (key, last) in self.last_writes() {
            let Some(write) = last.acknowledged else {
                continue;
            };
            let known = last.revision;
            if self.may_change && known.and_then(|at| self.epoch(at)) != current {
                continue;
            }
            let object = stored.objects.get(key);
            let results = last.unknown.iter().copied().chain([write]);
            if !results.into_iter().any(|write| is_result(write, object)) {
                found.push(Fault::Lost {
                    write: write.to_string(),
                    found: shown(object),
                });
            }
        }
        for fault in found {
            self.fault(fault);
        }
    }

    fn last_writes(&self) -> HashMap<&'a Key, Last<'a>> {
        let mut all: HashMap<&Key, Last<'a>> = HashMap::new();
        for attempt in &self.history.attempts {
            let last = all.entry(&attempt.key).or_default();
            if attempt.is_acknowledged() {
                last.acknowledged = Some(attempt);
                last.revision = attempt.revision().or(last.revision);
                last.unknown.clear();
            } else if matches!(attempt.outcome, Outcome::Unknown) {
                last.unknown.push(attempt);
            }
        }
        all
    }

    /// Objects without writes are those of the list before the run.
    pub(super) fn other_objects_are_unchanged(&mut self) {
        let Some(stored) = self.history.stored.first() else {
            return;
        };
        let before = &self.history.baseline.objects;
        let written = self.last_writes();
        let keys: BTreeSet<&Key> = before.keys().chain(stored.objects.keys()).collect();
        let mut found = Vec::new();
        for key in keys {
            let (old, new) = (before.get(key), stored.objects.get(key));
            let other = !written.contains_key(key) && !self.history.foreign.contains(key);
            if other && old != new {
                found.push((key, old, new));
            }
        }
        for (key, old, new) in found {
            self.fault(Fault::Changed {
                key: key.clone(),
                before: shown(old),
                after: shown(new),
            });
        }
    }

    /// All final lists are equal, and none is older than an observed revision.
    pub(super) fn lists_agree(&mut self) {
        let Some((first, rest)) = self.history.stored.split_first() else {
            return;
        };
        for (index, listing) in rest.iter().enumerate() {
            let observer = format!("list {}", index + 1);
            self.compare(&observer, &listing.objects, &first.objects);
        }
        let acknowledged = self.history.acknowledged().filter_map(Attempt::revision);
        let delivered = self.delivered.keys().copied();
        let Some(observed) = acknowledged.chain(delivered).max() else {
            return;
        };
        for listing in &self.history.stored {
            if listing.revision < observed {
                self.fault(Fault::WentBack {
                    observed,
                    head: listing.revision,
                });
            }
        }
    }
}

fn is_result(write: &Attempt, object: Option<&Object>) -> bool {
    match (write.kind, object) {
        (Kind::Deleted, object) => object.is_none(),
        (Kind::Created | Kind::Updated, None) => false,
        (Kind::Created | Kind::Updated, Some(object)) => {
            let revision = write.revision().is_none_or(|at| at == object.revision);
            revision && write.number == object.number
        }
    }
}
