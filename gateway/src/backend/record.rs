//! Records and changes, independent of their wire form.

use std::sync::Arc;

use api_types::revision::Revision;
use backend_proto::v1;
use bytes::Bytes;

use crate::backend::key::{ObjectKey, ResourceId};
use crate::telemetry::trace;

pub use crd_schema::stored::Index;

/// State of the store at a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Identity of the store.
    pub store_id: String,
    /// Incremented when commits may have been lost.
    pub epoch: u64,
    /// Newest revision, or that of a list.
    pub revision: Revision,
    /// Newest revision that was compacted.
    pub compact_revision: Revision,
}

/// One stored record.
#[derive(Clone, Debug)]
pub struct Record {
    /// The resource.
    pub resource: ResourceId,
    /// The object.
    pub key: ObjectKey,
    /// Revision of its last change.
    pub revision: Revision,
    /// The stored bytes, or the driver's reason why it cannot read them.
    pub value: Result<Bytes, String>,
}

/// One committed change.
#[derive(Clone, Debug)]
pub enum Change {
    /// The record was created or updated at its revision.
    Put(Record),
    /// The record was deleted.
    Delete {
        /// The resource.
        resource: ResourceId,
        /// The object.
        key: ObjectKey,
        /// Revision of the delete.
        revision: Revision,
    },
}

/// A change to make. It is applied only if its expectations hold.
#[derive(Clone, Debug)]
pub struct WriteOp {
    /// The resource.
    pub resource: ResourceId,
    /// The object.
    pub key: ObjectKey,
    /// The action.
    pub action: Action,
    /// Expected stored revision of an update or delete; `None` accepts any.
    pub expected: Option<Revision>,
    /// The request that caused the change.
    pub origin: Arc<Origin>,
}

/// The request that caused a change, for the history of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The user's name.
    pub user: String,
    /// The field manager that the request names, or the first part of its user agent.
    pub manager: String,
    /// The verb, such as `patch`.
    pub verb: String,
    /// `status`, `scale` or empty.
    pub subresource: String,
    /// The `Audit-ID`, for the logs of both sides; it is not stored.
    pub audit_id: String,
    /// The number of its connection; it is not stored.
    pub connection: u64,
    /// The span of the request, if it is sampled; it is not stored.
    pub span: Option<trace::Parent>,
}

/// The action of a write.
#[derive(Clone, Debug)]
pub enum Action {
    /// Stores an object that must not exist.
    Create {
        /// Compact JSON with sorted keys and without `metadata.resourceVersion`.
        value: Bytes,
        /// The fields that the backend may index.
        index: Index,
    },
    /// Replaces an object that must exist. An identical value is a no-op.
    Update {
        /// As for create.
        value: Bytes,
        /// As for create.
        index: Index,
    },
    /// Removes an object that must exist.
    Delete,
}

/// The verdict of one change; `T` is the form of the stored record.
#[derive(Clone, Debug)]
pub enum Verdict<T> {
    /// The change is stored and durable.
    Applied {
        /// Its revision; for a no-op the unchanged revision of the stored record.
        revision: Revision,
        /// The same bytes were already stored: nothing was written, and no event exists.
        noop: bool,
    },
    /// An expectation did not hold; nothing was stored.
    Conflict {
        /// The failed expectation.
        cause: Cause,
        /// The stored record, if any.
        current: Option<T>,
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
}

/// A revision on the wire; 0 for none. Revisions fit int63.
pub(super) fn signed(revision: Option<Revision>) -> i64 {
    let number = revision.map_or(0, Revision::get);
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Record {
    /// Bytes of the value.
    #[must_use]
    pub fn size(&self) -> usize {
        self.value.as_ref().map_or(0, Bytes::len)
    }
}

impl Change {
    /// Revision of the change.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        match self {
            Self::Put(record) => record.revision,
            Self::Delete { revision, .. } => *revision,
        }
    }

    /// The changed resource.
    #[must_use]
    pub const fn resource(&self) -> &ResourceId {
        match self {
            Self::Put(Record { resource, .. }) | Self::Delete { resource, .. } => resource,
        }
    }

    /// Bytes of the new value.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Put(record) => record.size(),
            Self::Delete { .. } => 0,
        }
    }
}

impl WriteOp {
    /// Bytes of the new value.
    pub(super) fn size(&self) -> usize {
        match &self.action {
            Action::Create { value, .. } | Action::Update { value, .. } => value.len(),
            Action::Delete => 0,
        }
    }

    /// The wire form. The driver stores the verdict of each op id, so that every attempt gets the
    /// same one.
    pub(super) fn to_wire(&self, id: Bytes) -> v1::Op {
        use v1::op::Action as Wire;
        let (action, value, index) = match &self.action {
            Action::Create { value, index } => (Wire::Create, value.clone(), Some(index)),
            Action::Update { value, index } => (Wire::Update, value.clone(), Some(index)),
            Action::Delete => (Wire::Delete, Bytes::new(), None),
        };
        v1::Op {
            op_id: id,
            key: Some(v1::Key {
                group: self.resource.stored_group().to_owned(),
                resource: self.resource.resource().to_owned(),
                namespace: self.key.namespace().to_owned(),
                name: self.key.name().to_owned(),
            }),
            action: action.into(),
            value,
            index: index.map(|index| v1::Index {
                uid: index.uid.clone(),
                labels: index.labels.iter().cloned().collect(),
                fields: index.fields.iter().cloned().collect(),
                owner_uids: index.owner_uids.clone(),
            }),
            expected_revision: signed(self.expected),
            expected_uid: String::new(),
            actor: self.origin.user.clone(),
            origin: Some(v1::Origin {
                manager: self.origin.manager.clone(),
                verb: self.origin.verb.clone(),
                subresource: self.origin.subresource.clone(),
            }),
        }
    }
}
