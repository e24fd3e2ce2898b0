//! The objects that the garbage collector must look at, each at most once.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The first and the longest pause before an object is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// `metadata.uid` of an object.
pub(super) type Uid = Arc<str>;

/// The queue. It is bounded by the number of objects, because each is in it once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Uid>,
    queued: HashSet<Uid>,
    /// Objects that failed, by the moment of the next attempt.
    later: BTreeMap<Instant, Vec<Uid>>,
    failures: HashMap<Uid, u32>,
}

impl Queue {
    /// Adds an object.
    pub(super) fn add(&mut self, uid: Uid) {
        if self.queued.insert(Arc::clone(&uid)) {
            self.ready.push_back(uid);
        }
    }

    /// The moment from which an object can be taken.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.ready.is_empty() {
            return self.later.keys().next().copied();
        }
        Some(Instant::now())
    }

    /// Takes up to `count` objects that are due.
    pub(super) fn take(&mut self, count: usize) -> Vec<Uid> {
        let now = Instant::now();
        while let Some(entry) = self.later.first_entry().filter(|it| *it.key() <= now) {
            for uid in entry.remove() {
                self.add(uid);
            }
        }
        let count = count.min(self.ready.len());
        let taken: Vec<Uid> = self.ready.drain(..count).collect();
        for uid in &taken {
            self.queued.remove(uid);
        }
        taken
    }

    /// Forgets the failures of an object.
    pub(super) fn succeeded(&mut self, uid: &Uid) {
        self.failures.remove(uid);
    }

    /// Adds an object again after a pause that doubles with each failure.
    pub(super) fn failed(&mut self, uid: Uid) {
        let failures = self.failures.entry(Arc::clone(&uid)).or_default();
        let pause = FIRST_PAUSE.saturating_mul(1 << (*failures).min(16));
        *failures += 1;
        let due = Instant::now() + pause.min(LAST_PAUSE);
        self.later.entry(due).or_default().push(uid);
    }
}
