//! Encodings of changes are kept only while the changes are recent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use watch_cache::{Attribute, Change, Group, Item, Limits};

#[derive(Clone)]
struct Large {
    revision: u64,
    size: usize,
    /// Highest revision whose encodings were evicted.
    evicted: Arc<AtomicUsize>,
}

impl Item for Large {
    fn key(&self) -> &str {
        "a/x"
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn size(&self) -> usize {
        self.size
    }

    fn attributes(&self, _visit: &mut dyn FnMut(Attribute, &str, &str)) {}

    fn with_resource_version(&self, revision: u64) -> Self {
        Self {
            revision,
            ..self.clone()
        }
    }

    fn evict_encodings(&self) {
        let revision = usize::try_from(self.revision).expect("a small revision");
        self.evicted.fetch_max(revision, Ordering::SeqCst);
    }
}

/// The highest revision without encodings after changes of `size` bytes at revisions 2 to `last`.
fn evicted(size: usize, last: u64, history: usize) -> usize {
    let limits = Limits {
        history,
        total: usize::MAX,
    };
    let group = Group::new(1, limits);
    group.insert("things", [], 1);
    let cache = group.get(&"things").expect("a cache");
    let evicted = Arc::new(AtomicUsize::new(0));
    for revision in 2..=last {
        let item = Large {
            revision,
            size,
            evicted: Arc::clone(&evicted),
        };
        cache.apply([Change::Put(item)]);
        group.enforce();
    }
    evicted.load(Ordering::SeqCst)
}

#[test]
fn changes_of_small_items_are_recent_by_number() {
    assert_eq!(evicted(100, 513, usize::MAX), 0);
    assert_eq!(evicted(100, 514, usize::MAX), 2);
}

#[test]
fn changes_of_large_items_are_recent_by_bytes() {
    let size = 5 << 20;
    assert_eq!(evicted(size, 4, usize::MAX), 0);
    assert_eq!(evicted(size, 5, usize::MAX), 2);
    assert_eq!(evicted(size, 10, usize::MAX), 7);
    // The newest change is recent whatever its size.
    assert_eq!(evicted(64 << 20, 10, usize::MAX), 9);
}

#[test]
fn changes_that_left_the_history_do_not_count() {
    // The history keeps one change, which is then always recent.
    assert_eq!(evicted(5 << 20, 20, 6 << 20), 0);
}
