//! Lists: snapshots that are iterated lazily.

use std::ops::Bound;
use std::sync::Arc;

use api_types::revision::Revision;
use watch_cache::Snapshot;

use crate::store::slot::Slot;
use crate::store::{ObjectKey, Stored};

/// The objects of a scope at one revision, all of which are readable. It holds the snapshot, not
/// copies.
#[derive(Clone, Debug)]
pub struct Listing {
    pub(super) snapshot: Snapshot<Slot>,
    pub(super) revision: Revision,
    pub(super) scope: watch_cache::Scope,
    pub(super) start: Option<String>,
}

/// Iterates over a [`Listing`] in key order; its memory does not grow with the list.
pub struct ListingIter(watch_cache::Iter<Slot>);

impl Listing {
    /// Revision of the snapshot: the `metadata.resourceVersion` of the list.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Iterates over the objects from the start key, if any, in key order.
    #[must_use]
    pub fn iter(&self) -> ListingIter {
        let from = self.start.clone().map_or(Bound::Unbounded, Bound::Included);
        ListingIter(self.snapshot.iter(self.scope.clone(), from))
    }

    /// Number of objects of the scope after a key.
    #[must_use]
    pub fn remaining(&self, after: &ObjectKey) -> usize {
        self.snapshot
            .count(&self.scope, Bound::Excluded(after.as_str()))
    }
}

impl Iterator for ListingIter {
    type Item = Arc<Stored>;

    fn next(&mut self) -> Option<Self::Item> {
        // A listing with an unreadable object does not exist.
        self.0.find_map(|slot| slot.into_object().ok())
    }
}

impl std::fmt::Debug for ListingIter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ListingIter")
    }
}
