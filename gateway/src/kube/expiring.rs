//! A bounded map whose entries expire.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Keeps up to a number of entries, each until its time is over. Evicts the least recently used
/// one when full, as `LRUExpireCache` of `k8s.io/apimachinery` does.
#[derive(Debug)]
pub(super) struct Expiring<K, V> {
    capacity: usize,
    entries: HashMap<K, Entry<V>>,
    /// Keys by last use, the oldest first.
    by_use: BTreeMap<u64, K>,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    expires: Instant,
    used: u64,
}

impl<K: Copy + Eq + Hash, V: Clone> Expiring<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
        }
    }

    /// The value of a key that has not expired.
    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        if entry.expires <= Instant::now() {
            let used = entry.used;
            self.entries.remove(key);
            self.by_use.remove(&used);
            return None;
        }
        self.uses += 1;
        self.by_use.remove(&entry.used);
        self.by_use.insert(self.uses, *key);
        entry.used = self.uses;
        Some(entry.value.clone())
    }

    /// Sets the value of a key for a time.
    pub(super) fn insert(&mut self, key: K, value: V, lifetime: Duration) {
        self.uses += 1;
        let entry = Entry {
            value,
            expires: Instant::now() + lifetime,
            used: self.uses,
        };
        if let Some(old) = self.entries.insert(key, entry) {
            self.by_use.remove(&old.used);
        }
        self.by_use.insert(self.uses, key);
        if self.entries.len() > self.capacity
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn entry_expires_after_its_lifetime() {
        let mut cache = Expiring::new(4);
        cache.insert(1, "a", TTL);
        tokio::time::advance(TTL - Duration::from_millis(1)).await;
        assert_eq!(
            cache.get(&1),
            Some("a"),
            "a use does not extend the lifetime"
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cache.get(&1), None);
        assert!(cache.entries.is_empty() && cache.by_use.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn full_cache_evicts_least_recently_used_entry() {
        let mut cache = Expiring::new(2);
        for key in [1, 2] {
            cache.insert(key, key, TTL);
        }
        assert_eq!(cache.get(&1), Some(1));
        cache.insert(1, 10, TTL);
        cache.insert(3, 3, TTL);
        assert_eq!(cache.get(&2), None);
        assert_eq!((cache.get(&1), cache.get(&3)), (Some(10), Some(3)));
        assert_eq!((cache.entries.len(), cache.by_use.len()), (2, 2));
    }
}
