//! Objects in memory: their encoded bytes and the fields that selectors read.

use std::sync::{Arc, OnceLock};

use api_types::revision::Revision;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::store::ObjectKey;

/// Memory of an object besides its strings, bytes: the structure, its counters and allocations.
const OVERHEAD: usize = 300;

/// One object at one revision. Immutable; shared by the cache, the history and all readers.
#[derive(Debug)]
pub struct Stored {
    pub(super) key: ObjectKey,
    pub(super) revision: Revision,
    pub(super) uid: Box<str>,
    pub(super) labels: Labels,
    pub(super) fields: Labels,
    pub(super) deleting: bool,
    pub(super) bytes: Bytes,
    pub(super) encodings: EncodedCache,
}

/// Sorted pairs of strings with shared keys: labels, or selectable fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub(super) Box<[(Arc<str>, Box<str>)]>);

/// Cached encodings of an object, each produced once and shared. The lock covers only the list: an
/// encoding is produced in its own slot, so that it delays no reader of another.
#[derive(Debug, Default)]
pub struct EncodedCache(Mutex<Encodings>);

#[derive(Debug, Default)]
struct Encodings {
    slots: Vec<(u64, Arc<OnceLock<Bytes>>)>,
    /// No frame is kept any more.
    cooled: bool,
}

/// Sets `metadata.resourceVersion` to `revision`, at its place in key order; `None` if the bytes
/// are not a JSON object with an object `metadata`. An object that was stored at a revision is
/// served as exactly these bytes.
#[must_use]
pub fn set_resource_version(object: &[u8], revision: Revision) -> Option<Vec<u8>> {
    let revision = format!("\"{revision}\"");
    kube_json::set_within(object, "metadata", "resourceVersion", &revision)
}

impl Stored {
    /// Namespace and name.
    #[must_use]
    pub const fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// Revision of the last change; the `metadata.resourceVersion` in [`Stored::bytes`].
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// `metadata.uid`.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// `metadata.labels`.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Declared selectable fields by path.
    #[must_use]
    pub const fn fields(&self) -> &Labels {
        &self.fields
    }

    /// Whether `metadata.deletionTimestamp` is set.
    #[must_use]
    pub const fn deleting(&self) -> bool {
        self.deleting
    }

    /// The object as JSON in the storage version: defaults applied, `metadata.resourceVersion` set,
    /// compact, keys sorted, no trailing newline.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Cached encodings of this object, such as a table row.
    #[must_use]
    pub const fn encodings(&self) -> &EncodedCache {
        &self.encodings
    }
}

impl Labels {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self
            .0
            .binary_search_by(|(candidate, _)| (**candidate).cmp(key))
            .ok()?;
        Some(&self.0[at].1)
    }

    /// Number of pairs.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no pairs.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Approximate bytes of the pairs.
    fn size(&self) -> usize {
        self.0.iter().map(|(_, value)| 32 + value.len()).sum()
    }

    /// All pairs in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

impl EncodedCache {
    /// The encoding of `key`, produced by `encode` at the first call. Concurrent callers wait for
    /// it. The caller defines the keys: one per representation (version, media type, columns).
    pub fn get_or_encode(&self, key: u64, encode: impl FnOnce() -> Bytes) -> Bytes {
        let slot = self.0.lock().slot(key);
        slot.get_or_init(encode).clone()
    }

    /// As [`Self::get_or_encode`], for an encoding of the object's change that only watchers
    /// receive. It is not kept if the change is not recent, as for a watch that starts in the past:
    /// the frames of a history are larger than the history.
    pub fn get_or_encode_frame(&self, key: u64, encode: impl FnOnce() -> Bytes) -> Bytes {
        let slot = {
            let mut encodings = self.0.lock();
            (!encodings.cooled).then(|| encodings.slot(key))
        };
        match slot {
            Some(slot) => slot.get_or_init(encode).clone(),
            None => encode(),
        }
    }

    /// Whether the encoding of `key` exists.
    #[must_use]
    pub fn has(&self, key: u64) -> bool {
        let encodings = self.0.lock();
        let mut slots = encodings.slots.iter();
        slots.any(|(candidate, slot)| *candidate == key && slot.get().is_some())
    }

    /// Drops all encodings to free their memory, and keeps no frame from now on.
    pub(super) fn cool(&self) {
        *self.0.lock() = Encodings {
            slots: Vec::new(),
            cooled: true,
        };
    }
}

impl Encodings {
    fn slot(&mut self, key: u64) -> Arc<OnceLock<Bytes>> {
        if let Some((_, slot)) = self.slots.iter().find(|(candidate, _)| *candidate == key) {
            return Arc::clone(slot);
        }
        let slot = Arc::<OnceLock<Bytes>>::default();
        self.slots.push((key, Arc::clone(&slot)));
        slot
    }
}

impl Stored {
    /// Approximate memory in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
            + self.key.as_str().len()
            + self.labels.size()
            + self.fields.size()
            + OVERHEAD
    }

    /// The object at another revision: the last state of a deleted object, at the delete.
    pub(super) fn with_resource_version(&self, revision: Revision) -> Self {
        // Cannot fail: the bytes were spliced before.
        let bytes = set_resource_version(&self.bytes, revision).map(Bytes::from);
        Self {
            key: self.key.clone(),
            revision,
            uid: self.uid.clone(),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            deleting: self.deleting,
            bytes: bytes.unwrap_or_else(|| self.bytes.clone()),
            encodings: EncodedCache::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::EncodedCache;

    #[test]
    fn frames_are_kept_only_while_the_change_is_recent() {
        let cache = EncodedCache::default();
        let encode = |text: &'static [u8]| move || Bytes::from_static(text);
        assert_eq!(cache.get_or_encode_frame(1, encode(b"first")), "first");
        assert_eq!(cache.get_or_encode_frame(1, encode(b"again")), "first");
        cache.cool();
        assert!(!cache.has(1));
        assert_eq!(cache.get_or_encode_frame(1, encode(b"again")), "again");
        assert!(!cache.has(1));
        // Other encodings are read at every list, whatever the age of the change.
        assert_eq!(cache.get_or_encode(2, encode(b"row")), "row");
        assert!(cache.has(2));
    }
}
