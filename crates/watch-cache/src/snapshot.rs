//! The items of a collection at one revision.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Bound;

use imbl::OrdSet;

use crate::item::{Item, Scope};

/// Items fetched from the tree at once while iterating.
const ITER_CHUNK: usize = 256;

/// All items of a collection, ordered by key.
pub(crate) type Items<I> = OrdSet<Entry<I>>;

/// An item in the ordered set; compared by key alone.
#[derive(Clone)]
pub(crate) struct Entry<I>(pub(crate) I);

/// The items of a collection at one revision. Cheap to clone; never changes.
pub struct Snapshot<I: Item> {
    pub(crate) items: Items<I>,
    pub(crate) revision: u64,
    /// Revision of the last change in it, at or below `revision`.
    pub(crate) changed: u64,
}

/// Iterates over a part of a snapshot in key order, holding only a few items at a time.
pub struct Iter<I: Item> {
    items: Items<I>,
    scope: Scope,
    chunk: std::vec::IntoIter<I>,
    from: Bound<String>,
    done: bool,
}

impl<I: Item> Snapshot<I> {
    /// Returns the revision.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the item with a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&I> {
        self.items.get(key).map(|entry| &entry.0)
    }

    /// Returns the number of items in the collection.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the collection is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Iterates over the items of a scope from a key on (`Unbounded`: from the first).
    #[must_use]
    pub fn iter(&self, scope: Scope, from: Bound<String>) -> Iter<I> {
        let items = self.items.clone();
        Iter {
            items,
            scope,
            chunk: Vec::new().into_iter(),
            from,
            done: false,
        }
    }

    /// Returns the number of items of a scope after a bound.
    #[must_use]
    pub fn count(&self, scope: &Scope, from: Bound<&str>) -> usize {
        match (scope, from) {
            (Scope::All, Bound::Unbounded) => self.items.len(),
            (Scope::Key(key), from) => usize::from(above(from, key) && self.items.contains(&**key)),
            (scope, from) => {
                let (low, high) = bounds(scope, from);
                self.items
                    .range::<_, str>((as_str(&low), as_str(&high)))
                    .count()
            }
        }
    }
}

impl<I: Item> Iter<I> {
    fn fill(&mut self) {
        if let Scope::Key(key) = &self.scope {
            self.done = true;
            let from = as_str(&self.from);
            let item = self.items.get(&**key).filter(|_| above(from, key));
            self.chunk = item
                .map(|entry| entry.0.clone())
                .into_iter()
                .collect::<Vec<_>>()
                .into_iter();
            return;
        }
        let (low, high) = bounds(&self.scope, as_str(&self.from));
        let range = self.items.range::<_, str>((as_str(&low), as_str(&high)));
        let chunk: Vec<_> = range
            .take(ITER_CHUNK)
            .map(|entry| entry.0.clone())
            .collect();
        self.done = chunk.len() < ITER_CHUNK;
        if let Some(last) = chunk.last() {
            self.from = Bound::Excluded(last.key().to_owned());
        }
        self.chunk = chunk.into_iter();
    }
}

impl<I: Item> Iterator for Iter<I> {
    type Item = I;

    fn next(&mut self) -> Option<I> {
        loop {
            if let Some(item) = self.chunk.next() {
                return Some(item);
            }
            if self.done {
                return None;
            }
            self.fill();
        }
    }
}

/// Returns the key range of a scope after `from`. A namespace is the keys between `ns/` and `ns0`,
/// because `0` is the byte after `/`.
fn bounds(scope: &Scope, from: Bound<&str>) -> (Bound<String>, Bound<String>) {
    let Scope::Namespace(namespace) = scope else {
        return (from.map(str::to_owned), Bound::Unbounded);
    };
    let first = format!("{namespace}/");
    let end = Bound::Excluded(format!("{namespace}0"));
    let inside = match from {
        Bound::Included(key) | Bound::Excluded(key) => key > first.as_str(),
        Bound::Unbounded => false,
    };
    let low = if inside {
        from.map(str::to_owned)
    } else {
        Bound::Included(first)
    };
    // A start after the namespace leaves nothing; the tree panics on inverted ranges.
    if let (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high)) = (&low, &end)
        && low >= high
    {
        return (Bound::Excluded(high.clone()), Bound::Included(high.clone()));
    }
    (low, end)
}

fn as_str(bound: &Bound<String>) -> Bound<&str> {
    bound.as_ref().map(String::as_str)
}

fn above(from: Bound<&str>, key: &str) -> bool {
    match from {
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
        Bound::Unbounded => true,
    }
}

// === impl Entry ===

impl<I: Item> Borrow<str> for Entry<I> {
    fn borrow(&self) -> &str {
        self.0.key()
    }
}

impl<I: Item> PartialEq for Entry<I> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl<I: Item> Eq for Entry<I> {}

impl<I: Item> PartialOrd for Entry<I> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I: Item> Ord for Entry<I> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().cmp(other.0.key())
    }
}

// === impl Snapshot ===

impl<I: Item> Clone for Snapshot<I> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            ..*self
        }
    }
}

impl<I: Item> std::fmt::Debug for Snapshot<I> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = out.debug_struct("Snapshot");
        out.field("revision", &self.revision)
            .field("items", &self.items.len())
            .finish()
    }
}
