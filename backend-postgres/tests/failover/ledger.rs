//! Ledger of everything that clients have observed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use backend_proto::v1::event::Type;
use backend_proto::v1::{Event, Header};
use conformance::path_of;
use parking_lot::Mutex;

/// The meaning of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) path: String,
    pub(crate) kind: Type,
    /// Stored value, unique to its write; for a delete, the deleted revision.
    pub(crate) text: String,
}

/// Ledger shared by all clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    facts: BTreeMap<i64, Fact>,
    acknowledged: BTreeSet<i64>,
    epochs: BTreeSet<i64>,
    problems: Vec<String>,
}

// === impl Ledger ===

impl Ledger {
    /// Records a writer's acknowledged change.
    pub(crate) fn acknowledged(&self, revision: i64, fact: Fact) {
        let mut book = self.0.lock();
        book.note(revision, fact);
        if !book.acknowledged.insert(revision) {
            let problem = format!("revision {revision} was given to two writes");
            book.problems.push(problem);
        }
    }

    /// Records a watcher's event.
    pub(crate) fn event(&self, event: &Event) {
        let record = event.record.clone().unwrap_or_default();
        let text = match event.r#type() {
            Type::Deleted => event.previous_revision.to_string(),
            _ => String::from_utf8_lossy(&record.value).into_owned(),
        };
        let fact = Fact {
            path: record.key.as_ref().map(path_of).unwrap_or_default(),
            kind: event.r#type(),
            text,
        };
        self.0.lock().note(event.revision, fact);
    }

    /// Records an observed header.
    pub(crate) fn header(&self, header: &Header) {
        let mut book = self.0.lock();
        book.epochs.insert(header.epoch);
        let numbers = [header.epoch, header.compact_revision, header.revision];
        if !numbers.is_sorted() {
            let problem = format!("numbers out of order: {header:?}");
            book.problems.push(problem);
        }
    }

    /// Whether two revisions are in one epoch, according to the observed headers.
    pub(crate) fn are_of_one_epoch(&self, one: i64, other: i64) -> bool {
        let book = self.0.lock();
        let epoch = |revision| book.epochs.range(..=revision).next_back().copied();
        epoch(one) == epoch(other)
    }

    pub(crate) fn problem(&self, problem: String) {
        self.0.lock().problems.push(problem);
    }

    /// Number of acknowledged writes in an epoch.
    pub(crate) fn writes_in(&self, epoch: i64) -> usize {
        let book = self.0.lock();
        let next = book.epochs.range(epoch + 1..).next().copied();
        let upto = next.unwrap_or(i64::MAX);
        book.acknowledged.range(epoch..upto).count()
    }

    /// Newest observed revision.
    pub(crate) fn newest(&self) -> i64 {
        let book = self.0.lock();
        book.facts.last_key_value().map_or(0, |(newest, _)| *newest)
    }

    /// Acknowledged revisions after `after`, up to and including the second argument.
    pub(crate) fn between(&self, after: i64, up_to_revision: i64) -> Vec<i64> {
        let book = self.0.lock();
        book.acknowledged
            .range((Bound::Excluded(after), Bound::Included(up_to_revision)))
            .copied()
            .collect()
    }

    /// All observed epochs.
    pub(crate) fn epochs(&self) -> Vec<i64> {
        self.0.lock().epochs.iter().copied().collect()
    }

    /// Fails if an inconsistency was recorded.
    pub(crate) fn check(&self) {
        let book = self.0.lock();
        let count = book.problems.len();
        assert!(
            count == 0,
            "{count} problems: {:#?}",
            &book.problems[..count.min(5)]
        );
    }
}

impl Book {
    fn note(&mut self, revision: i64, fact: Fact) {
        match self.facts.entry(revision) {
            Entry::Occupied(known) if *known.get() != fact => {
                let known = known.get();
                let problem = format!("revision {revision} is {known:?} and {fact:?}");
                self.problems.push(problem);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                place.insert(fact);
            }
        }
    }
}
