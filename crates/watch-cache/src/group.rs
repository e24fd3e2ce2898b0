//! The collections of one store, which share a frontier and a byte budget.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::cache::Cache;
use crate::frontier::Frontier;
use crate::item::Item;

/// Memory limits in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Limit of the history.
    pub history: usize,
    /// Limit of current items and history together. Current items are never dropped: if they alone
    /// exceed it, there is no history.
    pub total: usize,
}

/// Memory usage of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of current items.
    pub items: usize,
    /// Bytes of current items.
    pub current: usize,
    /// Bytes of retained changes.
    pub history: usize,
}

/// The collections of one store.
pub struct Group<K, I: Item> {
    caches: RwLock<HashMap<K, Arc<Cache<I>>>>,
    frontier: Arc<Frontier>,
    limits: Limits,
}

impl<K: Hash + Eq, I: Item> Group<K, I> {
    /// Creates a group without collections, complete up to a revision.
    #[must_use]
    pub fn new(up_to_revision: u64, limits: Limits) -> Self {
        Self {
            caches: RwLock::default(),
            frontier: Arc::new(Frontier::new(up_to_revision)),
            limits,
        }
    }

    /// Adds a collection with its items at `revision`.
    pub fn insert(&self, key: K, items: impl IntoIterator<Item = I>, revision: u64) {
        let cache = Arc::new(Cache::new(items, revision, Arc::clone(&self.frontier)));
        if let Some(replaced) = self.caches.write().insert(key, cache) {
            replaced.close();
        }
    }

    /// Drops a collection and ends its cursors.
    pub fn remove(&self, key: &K) {
        if let Some(cache) = self.caches.write().remove(key) {
            cache.close();
        }
    }

    /// Returns a collection.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Arc<Cache<I>>> {
        self.caches.read().get(key).map(Arc::clone)
    }

    /// Returns the frontier of all collections.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Ends all cursors and waits: this group is no longer updated.
    pub fn close(&self) {
        for cache in self.caches.read().values() {
            cache.close();
        }
        self.frontier.close();
    }

    /// Returns the current memory usage.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for cache in self.caches.read().values() {
            let (items, bytes) = cache.current_usage();
            usage.items += items;
            usage.current += bytes;
            usage.history += cache.history_usage().0;
        }
        usage
    }

    /// Returns the number of current items of each collection, in no order.
    #[must_use]
    pub fn items(&self) -> Vec<(K, usize)>
    where
        K: Clone,
    {
        let caches = self.caches.read();
        let items = caches
            .iter()
            .map(|(key, cache)| (key.clone(), cache.current_usage().0));
        items.collect()
    }

    /// Drops the oldest changes of any collection, until the history is within its limits.
    pub fn enforce(&self) {
        let usage = self.usage();
        let limit = self
            .limits
            .history
            .min(self.limits.total.saturating_sub(usage.current));
        let mut history = usage.history;
        while history > limit {
            let caches = self.caches.read();
            let oldest = caches
                .values()
                .filter_map(|cache| Some((cache.history_usage().1?, cache)))
                .min_by_key(|(revision, _)| *revision);
            let Some((_, cache)) = oldest else { return };
            let before = cache.history_usage().0;
            if !cache.evict() {
                return;
            }
            history -= before - cache.history_usage().0;
        }
    }
}

impl<K, I: Item> std::fmt::Debug for Group<K, I> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Group")
            .field("frontier", &self.frontier)
            .finish_non_exhaustive()
    }
}
