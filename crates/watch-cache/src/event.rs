//! One change, and how a selector sees it.

use std::sync::{Arc, OnceLock};

use crate::item::{Item, Select};

/// Memory that a retained change needs besides the item it replaced, bytes: itself, and the tree
/// nodes that snapshots around it do not share.
const EVENT_OVERHEAD: usize = 768;

/// One change of one item; shared by the ring and all cursors.
#[derive(Debug)]
pub struct Event<I> {
    revision: u64,
    previous: Option<Arc<I>>,
    current: Option<Arc<I>>,
    /// `previous` stamped with this change's revision, made when first asked for.
    last_state: OnceLock<Arc<I>>,
}

/// What a selector makes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Created, or began to match.
    Added,
    /// Matched before and after.
    Modified,
    /// Deleted, or ceased to match.
    Deleted,
}

/// A change as one watcher sees it.
#[derive(Debug)]
pub struct Delivery<I> {
    /// What happened.
    pub kind: Kind,
    /// The new item; for `Deleted` the last selected one, with the change's revision.
    pub item: Arc<I>,
    /// Revision of the change.
    pub revision: u64,
}

impl<I: Item> Event<I> {
    pub(crate) const fn new(
        revision: u64,
        previous: Option<Arc<I>>,
        current: Option<Arc<I>>,
    ) -> Self {
        Self {
            revision,
            previous,
            current,
            last_state: OnceLock::new(),
        }
    }

    /// Revision of the change.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The item before the change.
    #[must_use]
    pub const fn previous(&self) -> Option<&Arc<I>> {
        self.previous.as_ref()
    }

    /// The item after the change.
    #[must_use]
    pub const fn current(&self) -> Option<&Arc<I>> {
        self.current.as_ref()
    }

    /// Key of the item.
    pub(crate) fn key(&self) -> &str {
        self.current
            .as_ref()
            .or(self.previous.as_ref())
            .map_or("", |item| item.key())
    }

    /// The change as a selector sees it (semantics F.8), or `None` if it does not concern it.
    pub fn seen_by(&self, select: &dyn Select<I>) -> Option<Delivery<I>> {
        let before = self
            .previous
            .as_deref()
            .is_some_and(|item| select.matches(item));
        let after = self.current.as_ref().filter(|item| select.matches(item));
        let (kind, item) = match (before, after) {
            (true, Some(item)) => (Kind::Modified, Arc::clone(item)),
            (false, Some(item)) => (Kind::Added, Arc::clone(item)),
            (true, None) => (Kind::Deleted, self.last_state()?),
            (false, None) => return None,
        };
        Some(Delivery {
            kind,
            item,
            revision: self.revision,
        })
    }

    /// The item as it was, stamped with this change's revision. One for all watchers.
    fn last_state(&self) -> Option<Arc<I>> {
        let previous = self.previous.as_ref()?;
        let make = || Arc::new(previous.restamped(self.revision));
        Some(Arc::clone(self.last_state.get_or_init(make)))
    }

    /// Bytes that retaining this change costs. The new item is not counted: it is current, or the
    /// previous one of a later change.
    pub(crate) fn cost(&self) -> usize {
        EVENT_OVERHEAD + self.previous.as_ref().map_or(0, |item| item.size())
    }

    /// The change is no longer recent.
    pub(crate) fn cool(&self) {
        for item in self.current.iter().chain(self.last_state.get()) {
            item.cool();
        }
    }
}

impl<I> Clone for Delivery<I> {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind,
            item: Arc::clone(&self.item),
            revision: self.revision,
        }
    }
}
