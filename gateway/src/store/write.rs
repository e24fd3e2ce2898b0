//! Changing one object.

use std::sync::Arc;

use api_types::revision::Revision;
use bytes::Bytes;

use crate::store::{ObjectKey, ResourceId, Stored};

/// One change, applied only if the expectations hold.
#[derive(Clone, Debug)]
pub struct WriteOp {
    /// Which resource.
    pub resource: ResourceId,
    /// Which object.
    pub key: ObjectKey,
    /// What to do.
    pub action: Action,
    /// Update, delete: only if the stored revision is this one; `None` means any.
    pub expected: Option<Revision>,
    /// Update, delete: only if the stored uid is this one; `None` means any.
    pub uid: Option<String>,
    /// Who asks, for the backend's log; may be empty.
    pub actor: String,
}

/// What to do with an object.
#[derive(Clone, Debug)]
pub enum Action {
    /// Store an object that must not exist.
    Create {
        /// Compact JSON with sorted keys and without `metadata.resourceVersion`.
        value: Bytes,
        /// What the backend may index.
        index: Index,
    },
    /// Replace an object that must exist. The very bytes that are stored change nothing.
    Update {
        /// As for create.
        value: Bytes,
        /// As for create.
        index: Index,
    },
    /// Remove an object that must exist.
    Delete,
}

/// What the backend may index, derived from the value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: Vec<(String, String)>,
    /// Declared selectable fields by path.
    pub fields: Vec<(String, String)>,
    /// uid of every owner reference.
    pub owner_uids: Vec<String>,
}

/// The verdict over a change.
#[derive(Clone, Debug)]
pub enum WriteOutcome {
    /// It is stored and durable.
    Applied {
        /// Its revision; for a no-op the unchanged revision of the stored object.
        revision: Revision,
        /// The very bytes were stored already: nothing was written, no event exists.
        noop: bool,
        /// Delete: the object as it was.
        deleted: Option<Arc<Stored>>,
    },
    /// An expectation did not hold; nothing was stored.
    Conflict {
        /// Which one.
        cause: Cause,
        /// The stored object, unless there is none.
        current: Option<Arc<Stored>>,
    },
}

/// The expectation that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Create of an object that exists.
    Exists,
    /// Update or delete of an object that does not exist.
    NotFound,
    /// The stored revision differs.
    Revision,
    /// The stored uid differs.
    Uid,
}
