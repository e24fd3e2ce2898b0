//! Index of the cursors that a change concerns.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use crate::event::Event;
use crate::item::{Attribute, Item, Scope, namespace_of};

/// No pending change.
pub(crate) const IDLE: u64 = u64::MAX;

/// Changes for which a cursor must be woken. It may be woken for others too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Scope of the cursor.
    pub scope: Scope,
    /// An attribute value that every selected item has, if there is one.
    pub equality: Option<(Attribute, Box<str>, Box<str>)>,
}

/// A cursor's entry in the index, shared with the writer.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Sequence number of the first unread change that concerns the cursor, or [`IDLE`]. Changes
    /// between the cursor's position and this one do not concern it.
    pub(crate) pending: AtomicU64,
    pub(crate) waker: AtomicWaker,
    scope: Scope,
    bucket: BucketKey,
    /// Position in the bucket; modified only under the index's lock.
    position: AtomicUsize,
}

/// All slots, each in the single bucket that is likely smallest.
#[derive(Debug, Default)]
pub(crate) struct Index {
    all: Bucket,
    namespaces: HashMap<Box<str>, Bucket>,
    keys: HashMap<Box<str>, Bucket>,
    labels: Equalities,
    fields: Equalities,
}

type Bucket = Vec<Arc<Slot>>;
/// Buckets by name and value of an attribute.
type Equalities = HashMap<Box<str>, HashMap<Box<str>, Bucket>>;

#[derive(Debug)]
enum BucketKey {
    All,
    Namespace(Box<str>),
    Key(Box<str>),
    Equality(Attribute, Box<str>, Box<str>),
}

impl Interest {
    /// Interest in all items of a scope.
    #[must_use]
    pub const fn in_scope(scope: Scope) -> Self {
        Self {
            scope,
            equality: None,
        }
    }
}

impl Slot {
    /// Creates a slot whose cursor has not read the change `first` and later ones.
    pub(crate) fn new(interest: Interest, first: u64) -> Self {
        let bucket = match (&interest.scope, interest.equality) {
            (Scope::Key(key), _) => BucketKey::Key(key.clone()),
            (_, Some((attribute, key, value))) => BucketKey::Equality(attribute, key, value),
            (Scope::Namespace(namespace), None) => BucketKey::Namespace(namespace.clone()),
            (Scope::All, None) => BucketKey::All,
        };
        let pending = AtomicU64::new(first);
        let waker = AtomicWaker::new();
        Self {
            pending,
            waker,
            scope: interest.scope,
            bucket,
            position: AtomicUsize::new(0),
        }
    }

    /// Records that change `seq` concerns the cursor; returns its waker if it sleeps.
    fn mark(&self, seq: u64) -> Option<Waker> {
        (self.pending.fetch_min(seq, Ordering::AcqRel) == IDLE).then(|| self.waker.take())?
    }
}

impl Index {
    pub(crate) fn insert(&mut self, slot: &Arc<Slot>) {
        let bucket = self.bucket(&slot.bucket);
        slot.position.store(bucket.len(), Ordering::Relaxed);
        bucket.push(Arc::clone(slot));
    }

    pub(crate) fn remove(&mut self, slot: &Slot) {
        let bucket = self.bucket(&slot.bucket);
        let position = slot.position.load(Ordering::Relaxed);
        bucket.swap_remove(position);
        if let Some(moved) = bucket.get(position) {
            moved.position.store(position, Ordering::Relaxed);
        }
        if bucket.is_empty() {
            self.forget(&slot.bucket);
        }
    }

    /// Marks every slot that the change may concern, and collects the wakers of those that sleep.
    pub(crate) fn mark<I: Item>(&self, event: &Event<I>, seq: u64, wakers: &mut Vec<Waker>) {
        let key = event.key();
        let namespace = namespace_of(key);
        wakers.extend(self.all.iter().filter_map(|slot| slot.mark(seq)));
        if let Some(bucket) = namespace.and_then(|namespace| self.namespaces.get(namespace)) {
            wakers.extend(bucket.iter().filter_map(|slot| slot.mark(seq)));
        }
        if let Some(bucket) = self.keys.get(key) {
            wakers.extend(bucket.iter().filter_map(|slot| slot.mark(seq)));
        }
        if self.labels.is_empty() && self.fields.is_empty() {
            return;
        }
        let mut items = event.previous().into_iter().chain(event.current());
        if items.any(|item| item.undecodable()) {
            let slots = self.equal_buckets().flatten();
            let inside = slots.filter(|slot| slot.scope.contains(key));
            wakers.extend(inside.filter_map(|slot| slot.mark(seq)));
            return;
        }
        // Look up the item's attributes, not the watched ones: watchers may name any number of
        // attributes.
        for item in event.previous().into_iter().chain(event.current()) {
            item.attributes(&mut |attribute, name, value| {
                let values = self.equalities(attribute).get(name);
                let bucket = values.and_then(|values| values.get(value));
                let inside = bucket.into_iter().flatten();
                let inside = inside.filter(|slot| slot.scope.contains(key));
                wakers.extend(inside.filter_map(|slot| slot.mark(seq)));
            });
        }
    }

    /// Wakes all cursors, for an end that concerns all.
    pub(crate) fn mark_all(&self, wakers: &mut Vec<Waker>) {
        let buckets = self
            .namespaces
            .values()
            .chain(self.keys.values())
            .chain(self.equal_buckets());
        let slots = buckets.chain([&self.all]).flatten();
        wakers.extend(slots.filter_map(|slot| slot.mark(0)));
    }

    const fn equalities(&self, attribute: Attribute) -> &Equalities {
        match attribute {
            Attribute::Label => &self.labels,
            Attribute::Field => &self.fields,
        }
    }

    const fn equalities_mut(&mut self, attribute: Attribute) -> &mut Equalities {
        match attribute {
            Attribute::Label => &mut self.labels,
            Attribute::Field => &mut self.fields,
        }
    }

    fn equal_buckets(&self) -> impl Iterator<Item = &Bucket> {
        let values = self.labels.values().chain(self.fields.values());
        values.flat_map(HashMap::values)
    }

    fn bucket(&mut self, key: &BucketKey) -> &mut Bucket {
        match key {
            BucketKey::All => &mut self.all,
            BucketKey::Namespace(namespace) => {
                self.namespaces.entry(namespace.clone()).or_default()
            }
            BucketKey::Key(key) => self.keys.entry(key.clone()).or_default(),
            BucketKey::Equality(attribute, key, value) => {
                let values = self.equalities_mut(*attribute).entry(key.clone());
                values.or_default().entry(value.clone()).or_default()
            }
        }
    }

    /// Drops an empty bucket, so that the index does not grow with past watches.
    fn forget(&mut self, key: &BucketKey) {
        match key {
            BucketKey::All => {}
            BucketKey::Namespace(namespace) => drop(self.namespaces.remove(namespace)),
            BucketKey::Key(key) => drop(self.keys.remove(key)),
            BucketKey::Equality(attribute, key, value) => {
                let equalities = self.equalities_mut(*attribute);
                let Some(values) = equalities.get_mut(key) else {
                    return;
                };
                values.remove(value);
                if values.is_empty() {
                    equalities.remove(key);
                }
            }
        }
    }
}
