//! Revisions, keys, objects and events, independent of the protocol.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Revision of a store; `metadata.resourceVersion` in the Kubernetes API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

/// Name of an object, unique in the collection of the workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The key did not exist.
    Created,
    /// The object had another content.
    Updated,
    /// The object is gone.
    Deleted,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Revision of its last change.
    pub revision: Revision,
    /// Number of the write that made its content; 0 if no writer made it.
    pub number: u64,
    /// Hash of its content. Two objects with one revision must have one digest.
    pub digest: u64,
}

/// A complete list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Revision of the snapshot.
    pub revision: Revision,
    /// Objects by key.
    pub objects: BTreeMap<Key, Object>,
}

/// A change, as delivered by a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Revision of the change.
    pub revision: Revision,
    /// Changed key.
    pub key: Key,
    /// Kind of the change.
    pub kind: Kind,
    /// Number of the stored content, or of the deleted one.
    pub number: u64,
    /// Digest of the stored content, or of the deleted one.
    pub digest: u64,
    /// Revision that the change replaced, if the protocol reports it; `Some(0)` for a creation.
    pub previous: Option<Revision>,
    /// Origin of the change, if the protocol reports it.
    pub author: Option<Arc<str>>,
}

// === impl Revision ===

impl Revision {
    /// Wraps a number of the protocol.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number in the protocol.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Key ===

impl Key {
    /// The name in the protocol.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for Key {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Kind ===

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "creation",
            Self::Updated => "update",
            Self::Deleted => "deletion",
        })
    }
}

// === impl Event ===

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            revision,
            key,
            kind,
            number,
            ..
        } = self;
        write!(f, "{revision}: {kind} of {key} (write {number})")
    }
}
