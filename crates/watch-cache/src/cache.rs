//! A collection: its current items, its history, and its followers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use crate::event::Event;
use crate::frontier::Frontier;
use crate::interest::Index;
use crate::item::Item;
use crate::ring::Ring;
use crate::snapshot::{Entry, Items, Snapshot};

/// A collection of a store.
///
/// Only one writer may call [`Cache::apply`]; all other methods may be called concurrently.
pub struct Cache<I: Item> {
    /// Newest state. Replaced after the ring has the changes, so that a change missing in a
    /// snapshot is always in the ring.
    view: ArcSwap<View<I>>,
    ring: RwLock<Ring<I>>,
    index: Mutex<Index>,
    frontier: Arc<Frontier>,
}

/// A change to apply.
#[derive(Debug)]
pub enum Change<I> {
    /// Creates or replaces an item; the item's revision is that of the change.
    Put(I),
    /// Deletes an item.
    Delete {
        /// Key of the item.
        key: String,
        /// Revision of the change.
        revision: u64,
    },
}

/// Reason why no state is available at a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtError {
    /// The revision is no longer retained.
    #[error("history begins at revision {oldest}")]
    Compacted {
        /// The oldest retained revision.
        oldest: u64,
    },
    /// The revision does not exist yet.
    #[error("the newest revision is {current}")]
    Future {
        /// The newest revision.
        current: u64,
    },
}

struct View<I: Item> {
    items: Items<I>,
    /// Revision of the last change of this collection, or of the first load.
    revision: u64,
    /// Sum of the items' sizes.
    bytes: usize,
}

impl<I: Item> Cache<I> {
    /// Creates a collection from its items at `revision`, where its history begins.
    pub(crate) fn new(
        items: impl IntoIterator<Item = I>,
        revision: u64,
        frontier: Arc<Frontier>,
    ) -> Self {
        let items: Items<I> = items.into_iter().map(Entry).collect();
        let bytes = items.iter().map(|entry| entry.0.size()).sum();
        Self {
            view: ArcSwap::from_pointee(View {
                items,
                revision,
                bytes,
            }),
            ring: RwLock::new(Ring::new(revision)),
            index: Mutex::default(),
            frontier,
        }
    }

    /// Applies changes in revision order. Ignores changes at or below the revision of the first
    /// load or of an earlier change, so that a replay is harmless. Returns the number of effective
    /// changes (a delete of a missing item is not one).
    pub fn apply(&self, changes: impl IntoIterator<Item = Change<I>>) -> usize {
        let view = self.view.load_full();
        let mut next = View {
            items: view.items.clone(),
            revision: view.revision,
            bytes: view.bytes,
        };
        let mut events = Vec::new();
        for change in changes {
            events.extend(next.apply(change));
        }
        if events.is_empty() {
            return 0;
        }
        let first = self.push(&events, &next);
        self.view.store(Arc::new(next));
        self.wake(&events, first);
        events.len()
    }

    /// Returns the newest state. Its revision is the frontier's, or that of the last change if that
    /// is greater.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<I> {
        // Load the frontier first: a view loaded after it holds every change up to it.
        let up_to_revision = self.frontier.up_to_revision();
        let view = self.view.load();
        let revision = up_to_revision.max(view.revision);
        Snapshot {
            items: view.items.clone(),
            revision,
            changed: view.revision,
        }
    }

    /// Returns the current item with a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<I> {
        self.view.load().items.get(key).map(|entry| entry.0.clone())
    }

    /// Returns the state at exactly a revision.
    ///
    /// # Errors
    /// If the revision is no longer retained, or does not exist yet.
    pub fn at(&self, revision: u64) -> Result<Snapshot<I>, AtError> {
        let newest = self.snapshot();
        if revision > newest.revision {
            return Err(AtError::Future {
                current: newest.revision,
            });
        }
        let ring = self.ring.read();
        if revision < ring.floor() {
            return Err(AtError::Compacted {
                oldest: ring.floor(),
            });
        }
        let view = self.view.load();
        let items = if revision >= view.revision {
            view.items.clone()
        } else {
            ring.rewind(revision, &view.items, view.revision)
        };
        Ok(Snapshot {
            items,
            revision,
            changed: revision.min(view.revision),
        })
    }

    /// Stores a snapshot as a checkpoint while its revision is retained, for later pages of the
    /// same list.
    pub fn pin(&self, snapshot: &Snapshot<I>) {
        self.ring.write().pin(snapshot.changed, &snapshot.items);
    }

    /// Drops the oldest retained change; returns whether there was one.
    pub(crate) fn evict(&self) -> bool {
        self.ring.write().evict()
    }

    /// Ends every current and future cursor: this collection is no longer updated.
    pub(crate) fn close(&self) {
        self.ring.write().closed = true;
        let mut wakers = Vec::new();
        self.index.lock().mark_all(&mut wakers);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Returns the number of current items, and their bytes.
    pub(crate) fn current_usage(&self) -> (usize, usize) {
        let view = self.view.load();
        (view.items.len(), view.bytes)
    }

    /// Returns the bytes of the history, and the revision of its oldest change.
    pub(crate) fn history_usage(&self) -> (usize, Option<u64>) {
        let ring = self.ring.read();
        (ring.bytes(), ring.oldest_revision())
    }

    pub(crate) const fn ring(&self) -> &RwLock<Ring<I>> {
        &self.ring
    }

    pub(crate) const fn index(&self) -> &Mutex<Index> {
        &self.index
    }

    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    fn push(&self, events: &[(Arc<Event<I>>, Items<I>)], next: &View<I>) -> u64 {
        let mut ring = self.ring.write();
        let first = ring.next();
        for (event, after) in events {
            ring.push(Arc::clone(event), after);
        }
        debug_assert_eq!(
            events.last().map(|(event, _)| event.revision()),
            Some(next.revision)
        );
        first
    }

    fn wake(&self, events: &[(Arc<Event<I>>, Items<I>)], first: u64) {
        let mut wakers = Vec::new();
        {
            let index = self.index.lock();
            for (seq, (event, _)) in (first..).zip(events) {
                index.mark(event, seq, &mut wakers);
            }
        }
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

impl<I: Item> View<I> {
    /// Applies one change; returns the event and the state after it.
    fn apply(&mut self, change: Change<I>) -> Option<(Arc<Event<I>>, Items<I>)> {
        let (revision, previous, current) = match change {
            Change::Put(item) if item.revision() > self.revision => {
                self.bytes += item.size();
                let previous = self.items.insert(Entry(item.clone()));
                (item.revision(), previous, Some(item))
            }
            Change::Delete { key, revision } if revision > self.revision => {
                (revision, Some(self.items.remove(key.as_str())?), None)
            }
            Change::Put(_) | Change::Delete { .. } => return None,
        };
        let previous = previous.map(|entry| entry.0);
        self.bytes -= previous.as_ref().map_or(0, |item| item.size());
        self.revision = revision;
        Some((
            Arc::new(Event::new(revision, previous, current)),
            self.items.clone(),
        ))
    }
}

impl<I: Item> std::fmt::Debug for Cache<I> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (items, bytes) = self.current_usage();
        out.debug_struct("Cache")
            .field("items", &items)
            .field("bytes", &bytes)
            .finish()
    }
}
