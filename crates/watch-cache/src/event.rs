//! A change, and its form for a selector.

use std::sync::OnceLock;

use crate::item::{Item, Select};

/// Estimated bytes of a retained change besides the replaced item: the event, and the tree nodes
/// that adjacent snapshots do not share.
const EVENT_OVERHEAD: usize = 768;

/// A change of one item; shared by the ring and all cursors.
#[derive(Debug)]
pub struct Event<I> {
    revision: u64,
    previous: Option<I>,
    current: Option<I>,
    /// `previous` with this change's revision; created on first use.
    last_state: OnceLock<I>,
}

/// Effect of a change on a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Created, or began to match.
    Added,
    /// Matched before and after.
    Modified,
    /// Deleted, or ceased to match.
    Deleted,
}

/// A change as delivered to one watcher.
#[derive(Clone, Debug)]
pub struct Delivery<I> {
    /// Effect of the change.
    pub kind: Kind,
    /// The new item; for `Deleted` the last selected one, with the change's revision.
    pub item: I,
    /// Revision of the change.
    pub revision: u64,
}

impl<I: Item> Event<I> {
    pub(crate) const fn new(revision: u64, previous: Option<I>, current: Option<I>) -> Self {
        Self {
            revision,
            previous,
            current,
            last_state: OnceLock::new(),
        }
    }

    /// Returns the revision of the change.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the item before the change.
    #[must_use]
    pub const fn previous(&self) -> Option<&I> {
        self.previous.as_ref()
    }

    /// Returns the item after the change.
    #[must_use]
    pub const fn current(&self) -> Option<&I> {
        self.current.as_ref()
    }

    /// Returns the key of the item.
    pub(crate) fn key(&self) -> &str {
        self.current
            .as_ref()
            .or(self.previous.as_ref())
            .map_or("", |item| item.key())
    }

    /// Returns the change as a selector sees it (semantics F.8), or `None` if it does not concern
    /// it.
    pub fn delivery_for(&self, select: &dyn Select<I>) -> Option<Delivery<I>> {
        let before = self
            .previous
            .as_ref()
            .is_some_and(|item| select.matches(item));
        let after = self.current.as_ref().filter(|item| select.matches(item));
        let (kind, item) = match (before, after) {
            (true, Some(item)) => (Kind::Modified, item.clone()),
            (false, Some(item)) => (Kind::Added, item.clone()),
            (true, None) => (Kind::Deleted, self.last_state()?),
            (false, None) => return None,
        };
        Some(Delivery {
            kind,
            item,
            revision: self.revision,
        })
    }

    /// Returns the item before the change with this change's revision. Created once, for all
    /// watchers.
    fn last_state(&self) -> Option<I> {
        let previous = self.previous.as_ref()?;
        let make = || previous.with_resource_version(self.revision);
        Some(self.last_state.get_or_init(make).clone())
    }

    /// Returns the bytes that retaining this change costs. The new item is not counted: it is
    /// current, or the previous item of a later change.
    pub(crate) fn cost(&self) -> usize {
        EVENT_OVERHEAD + self.previous.as_ref().map_or(0, |item| item.size())
    }

    /// Returns the bytes of the item that watchers receive.
    pub(crate) fn encoded(&self) -> usize {
        let item = self.current.as_ref().or(self.previous.as_ref());
        item.map_or(0, |item| item.size())
    }

    /// Drops the encodings of a change that is no longer recent.
    pub(crate) fn evict_encodings(&self) {
        for item in self.current.iter().chain(self.last_state.get()) {
            item.evict_encodings();
        }
    }
}
