//! What a writer writes.

use std::collections::HashMap;

use crate::change::{Key, Revision};
use crate::client::{Action, Write};

/// Numbers per writer; the number of a write is unique in a run.
const NUMBERS: u64 = 1_000_000_000;

/// A change of an existing object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Replaces it.
    Replace,
    /// Changes a part of it.
    Patch,
    /// Deletes it; the next turn creates it again.
    Delete,
}

/// The keys of one writer and what it does to them in turn.
#[derive(Clone, Debug)]
pub struct Script {
    /// Keys that the writer creates.
    pub own: Vec<Key>,
    /// Steps in the life of an own key after its creation.
    pub life: &'static [Step],
    /// Objects of the list before the run that this writer patches, every third turn.
    pub existing: Vec<Key>,
    /// Writes per request.
    pub batch: usize,
}

/// What a writer knows of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// It does not exist.
    #[default]
    Absent,
    /// Its revision and the number of its content.
    At(Revision, u64),
    /// Not known, because the outcome of its last write is not known.
    Unread,
}

/// A script in progress.
#[derive(Debug)]
pub(crate) struct Progress {
    writer: usize,
    script: Script,
    turn: usize,
    numbers: u64,
    known: HashMap<Key, Known>,
    /// Steps made in the life of each own key.
    ages: HashMap<Key, usize>,
}

// === impl Script ===

impl Script {
    /// Own keys of a writer, `prefix` followed by its number and that of the key.
    #[must_use]
    pub fn own(prefix: &str, writer: usize, keys: usize, life: &'static [Step]) -> Self {
        let own = (0..keys).map(|key| Key::from(format!("{prefix}{writer:02}-{key}")));
        Self {
            own: own.collect(),
            life,
            existing: Vec::new(),
            batch: 1,
        }
    }
}

// === impl Progress ===

impl Progress {
    pub(crate) fn new(writer: usize, script: Script) -> Self {
        Self {
            writer,
            script,
            turn: 0,
            numbers: 0,
            known: HashMap::new(),
            ages: HashMap::new(),
        }
    }

    /// Keys of the next request.
    pub(crate) fn next_keys(&mut self) -> Vec<Key> {
        let count = self.script.batch.clamp(1, self.script.own.len().max(1));
        (0..count).filter_map(|_| self.next_key()).collect()
    }

    fn next_key(&mut self) -> Option<Key> {
        let turn = self.turn;
        self.turn += 1;
        let existing = &self.script.existing;
        let own = &self.script.own;
        if !existing.is_empty() && (turn % 3 == 2 || own.is_empty()) {
            // A prime step is coprime to most counts, so the walk visits all objects without the
            // order of names.
            return existing
                .get(turn.wrapping_mul(7919) % existing.len())
                .cloned();
        }
        let passed = if existing.is_empty() { 0 } else { turn / 3 };
        own.get((turn - passed) % own.len().max(1)).cloned()
    }

    pub(crate) fn known(&self, key: &Key) -> Known {
        self.known.get(key).copied().unwrap_or_default()
    }

    pub(crate) fn learn(&mut self, key: &Key, known: Known) {
        self.known.insert(key.clone(), known);
    }

    /// The next write of a key whose state is known.
    pub(crate) fn write(&mut self, key: Key) -> Write {
        self.numbers += 1;
        let mut number = self.writer as u64 * NUMBERS + self.numbers;
        let action = match self.known(&key) {
            _ if !self.script.own.contains(&key) => Action::Patch(None),
            Known::Absent | Known::Unread => Action::Create,
            Known::At(revision, stored) => match self.step(&key) {
                Step::Replace => Action::Replace(revision),
                Step::Patch => Action::Patch(Some(revision)),
                Step::Delete => {
                    number = stored;
                    Action::Delete(revision)
                }
            },
        };
        Write {
            id: *uuid::Uuid::new_v4().as_bytes(),
            key,
            action,
            number,
            origin: (self.writer, self.numbers),
        }
    }

    /// The next step of a key. Keys start at different ages, so that some exist at any time.
    fn step(&mut self, key: &Key) -> Step {
        let place = self.script.own.iter().position(|own| own == key);
        let age = self.ages.entry(key.clone()).or_insert(place.unwrap_or(0));
        let step = self.script.life[*age % self.script.life.len()];
        *age += 1;
        step
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Known, Progress, Script, Step};
    use crate::change::{Key, Kind, Revision};
    use crate::client::Action;

    const LIFE: &[Step] = &[Step::Replace, Step::Patch, Step::Delete];

    #[test]
    fn script_creates_changes_and_deletes_every_key() {
        let mut progress = Progress::new(3, Script::own("w", 3, 4, LIFE));
        let mut numbers = BTreeSet::new();
        let mut kinds = Vec::new();
        for turn in 0..40 {
            let keys = progress.next_keys();
            let [key] = &keys[..] else { panic!("{keys:?}") };
            let write = progress.write(key.clone());
            if write.action.kind() != Kind::Deleted {
                assert!(numbers.insert(write.number), "{write:?}");
            }
            let next = match write.action {
                Action::Delete(_) => Known::Absent,
                _ => Known::At(Revision::new(turn + 1), write.number),
            };
            kinds.push((key.clone(), write.action.kind()));
            progress.learn(key, next);
        }
        for place in 0..4 {
            let key = Key::from(format!("w03-{place}"));
            for kind in [Kind::Created, Kind::Updated, Kind::Deleted] {
                assert!(kinds.contains(&(key.clone(), kind)), "{kind} of {key}");
            }
        }
    }

    #[test]
    fn existing_objects_are_patched_only() {
        let mut script = Script::own("w", 0, 2, LIFE);
        script.existing = (0..5).map(|at| Key::from(format!("old-{at}"))).collect();
        let mut progress = Progress::new(0, script);
        let mut patched = BTreeSet::new();
        for _ in 0..30 {
            for key in progress.next_keys() {
                let write = progress.write(key.clone());
                if key.as_str().starts_with("old") {
                    assert_eq!(write.action, Action::Patch(None));
                    patched.insert(key);
                }
            }
        }
        assert_eq!(patched.len(), 5);
    }
}
