//! The retained changes of a collection.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::event::Event;
use crate::item::Item;
use crate::snapshot::{Entry, Items};

/// Interval of checkpoints in changes: bounds the number of changes to rewind for any retained
/// revision.
const CHECKPOINT_EVERY: u64 = 256;

/// Changes older than this many keep no encodings made for watchers.
const RECENT: usize = 512;

/// Bytes of the items of recent changes. A change has several encodings, which are not part of its
/// cost, so fewer changes of large items are recent.
const RECENT_BYTES: usize = 16 << 20;

/// Changes in revision order, numbered without gaps, and checkpoints among them.
pub(crate) struct Ring<I: Item> {
    events: VecDeque<Arc<Event<I>>>,
    /// Number of the first retained change.
    first: u64,
    /// Every change above this revision is retained.
    floor: u64,
    bytes: usize,
    /// How many of the newest changes are recent, and the bytes of their items.
    recent: usize,
    recent_bytes: usize,
    /// State right after some revisions at or above `floor`.
    checkpoints: BTreeMap<u64, Items<I>>,
    pub(crate) closed: bool,
}

impl<I: Item> Ring<I> {
    pub(crate) fn new(floor: u64) -> Self {
        let (events, checkpoints) = (VecDeque::new(), BTreeMap::new());
        Self {
            events,
            first: 0,
            floor,
            bytes: 0,
            recent: 0,
            recent_bytes: 0,
            checkpoints,
            closed: false,
        }
    }

    /// Appends a change; `after` is the state after it. Returns the change's number.
    pub(crate) fn push(&mut self, event: Arc<Event<I>>, after: &Items<I>) -> u64 {
        let seq = self.next();
        if seq.is_multiple_of(CHECKPOINT_EVERY) {
            self.checkpoints.insert(event.revision(), after.clone());
        }
        self.bytes += event.cost();
        self.recent += 1;
        self.recent_bytes += event.encoded();
        self.events.push_back(event);
        while self.recent > RECENT || (self.recent > 1 && self.recent_bytes > RECENT_BYTES) {
            let oldest = &self.events[self.events.len() - self.recent];
            oldest.evict_encodings();
            self.recent_bytes -= oldest.encoded();
            self.recent -= 1;
        }
        seq
    }

    /// Drops the oldest change; returns whether there was one.
    pub(crate) fn evict(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else {
            return false;
        };
        self.first += 1;
        self.bytes -= event.cost();
        if self.recent > self.events.len() {
            self.recent = self.events.len();
            self.recent_bytes -= event.encoded();
        }
        self.floor = event.revision();
        self.checkpoints = self.checkpoints.split_off(&self.floor);
        true
    }

    /// Stores the state after the change `revision` as a checkpoint, because it will be read again.
    pub(crate) fn pin(&mut self, revision: u64, items: &Items<I>) {
        if revision >= self.floor {
            self.checkpoints
                .entry(revision)
                .or_insert_with(|| items.clone());
        }
    }

    /// Returns the state at a retained revision below that of `newest`, which is the state at
    /// `newest_at`.
    pub(crate) fn rewind(&self, revision: u64, newest: &Items<I>, newest_at: u64) -> Items<I> {
        let start = self
            .events
            .partition_point(|event| event.revision() <= revision);
        let last = start
            .checked_sub(1)
            .map_or(self.floor, |last| self.events[last].revision());
        let checkpoint = self.checkpoints.range(last..newest_at).next();
        let (from, mut items) = match checkpoint {
            Some((at, items)) => (*at, items.clone()),
            None => (newest_at, newest.clone()),
        };
        let end = self
            .events
            .partition_point(|event| event.revision() <= from);
        for event in self.events.range(start..end).rev() {
            match event.previous() {
                Some(previous) => drop(items.insert(Entry(previous.clone()))),
                None => drop(items.remove(event.key())),
            }
        }
        items
    }

    /// Returns the number of the first retained change above a revision.
    pub(crate) fn number_after(&self, revision: u64) -> u64 {
        self.first
            + self
                .events
                .partition_point(|event| event.revision() <= revision) as u64
    }

    /// Returns the retained changes from a number on.
    pub(crate) fn from(&self, number: u64) -> impl Iterator<Item = &Arc<Event<I>>> {
        let start = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.events.range(start.min(self.events.len())..)
    }

    /// Returns the number of the oldest retained change.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of the next change.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Every change above this revision is retained.
    pub(crate) const fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn oldest_revision(&self) -> Option<u64> {
        self.events.front().map(|event| event.revision())
    }
}
