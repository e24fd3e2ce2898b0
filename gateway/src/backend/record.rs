//! What travels, without its wire form.

use std::sync::Arc;

use backend_proto::v1;
use bytes::Bytes;

/// State of the store when it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Identity of the store.
    pub store_id: String,
    /// Incremented when commits may have been lost.
    pub epoch: u64,
    /// Newest revision, or that of the snapshot.
    pub revision: u64,
    /// Newest revision whose history is gone.
    pub compact_revision: u64,
}

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// API group.
    pub group: String,
    /// Plural name of the resource.
    pub resource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One stored record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which one.
    pub name: Name,
    /// Revision of its last change.
    pub revision: u64,
    /// The stored bytes; empty if they cannot be given.
    pub value: Bytes,
    /// Why the value cannot be given; empty if it is there.
    pub unreadable: String,
}

/// One committed change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its revision.
    pub revision: u64,
    /// Whether the record is there afterwards.
    pub kind: ChangeKind,
    /// The new record, or the last one before a delete.
    pub record: Record,
}

/// Kinds of changes, as far as a reader cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Created or updated.
    Put,
    /// Deleted.
    Delete,
}

/// One change to make.
#[derive(Clone, Debug)]
pub struct Op {
    /// Which record.
    pub name: Name,
    /// What to do.
    pub action: Action,
    /// Only if the stored revision is this one; 0 means any.
    pub expected: u64,
    /// The request that asks for it.
    pub origin: Arc<Origin>,
    /// About how large the record is that the verdict may have to show, bytes; 0 if that is not
    /// known. Calls are cut to it.
    pub found: usize,
}

/// The request that a change comes from, for the history of the object.
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
    /// The `Audit-ID`, for the logs of both sides; it is not kept.
    pub audit_id: String,
    /// The number of its connection; it is not kept.
    pub connection: u64,
}

/// What to do with a record.
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

/// The verdict over one change.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Stored and durable.
    Applied {
        /// Revision of the change; for a no-op that of the stored record.
        revision: u64,
        /// Nothing had to be written.
        noop: bool,
        /// Delete: the record as it was.
        deleted: Option<Record>,
    },
    /// An expectation did not hold; nothing was stored.
    Conflict {
        /// Which one.
        cause: Cause,
        /// The stored record, if there is one.
        current: Option<Record>,
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

/// Revisions fit int63.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl From<v1::Key> for Name {
    fn from(key: v1::Key) -> Self {
        let v1::Key {
            group,
            resource,
            namespace,
            name,
        } = key;
        Self {
            group,
            resource,
            namespace,
            name,
        }
    }
}

impl From<Name> for v1::Key {
    fn from(key: Name) -> Self {
        let Name {
            group,
            resource,
            namespace,
            name,
        } = key;
        Self {
            group,
            resource,
            namespace,
            name,
        }
    }
}

impl From<Index> for v1::Index {
    fn from(index: Index) -> Self {
        Self {
            uid: index.uid,
            labels: index.labels.into_iter().collect(),
            fields: index.fields.into_iter().collect(),
            owner_uids: index.owner_uids,
        }
    }
}

impl Op {
    /// The wire form, which remembers its first verdict under a new random id.
    pub(super) fn into_wire(self) -> v1::Op {
        use v1::op::Action as Wire;
        let (action, value, index) = match self.action {
            Action::Create { value, index } => (Wire::Create, value, Some(index.into())),
            Action::Update { value, index } => (Wire::Update, value, Some(index.into())),
            Action::Delete => (Wire::Delete, Bytes::new(), None),
        };
        v1::Op {
            op_id: Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
            key: Some(self.name.into()),
            action: action.into(),
            value,
            index,
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
