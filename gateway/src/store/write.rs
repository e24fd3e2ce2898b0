//! Changing one object.

use std::sync::Arc;

use api_types::revision::Revision;

use crate::backend;
use crate::store::load::Loader;
use crate::store::{ObjectKey, ResourceId, StoreError, Stored};

pub use crate::backend::{Action, Cause, Index};

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

impl WriteOp {
    /// The change, and about how large the object is that it finds.
    pub(super) fn into_backend(self, found: usize) -> backend::Op {
        backend::Op {
            name: backend::Name {
                group: self.resource.group().to_owned(),
                resource: self.resource.resource().to_owned(),
                namespace: self.key.namespace().to_owned(),
                name: self.key.name().to_owned(),
            },
            action: self.action,
            expected: self.expected.map_or(0, Revision::get),
            uid: self.uid.unwrap_or_default(),
            actor: self.actor,
            found,
        }
    }
}

impl WriteOutcome {
    pub(super) fn load(
        verdict: backend::Verdict,
        resource: &ResourceId,
        loader: &Loader,
    ) -> Result<Self, StoreError> {
        let load = |record: Option<backend::Record>| {
            let object = record.map(|record| Arc::new(loader.object(resource, &record)));
            match object.as_ref().and_then(|object| object.trouble()) {
                None => Ok(object),
                Some(trouble) => Err(trouble),
            }
        };
        Ok(match verdict {
            backend::Verdict::Applied {
                revision,
                noop,
                deleted,
            } => {
                let revision = Revision::new(revision).ok_or_else(StoreError::no_revision)?;
                // The delete is done, readable or not.
                Self::Applied {
                    revision,
                    noop,
                    deleted: load(deleted).unwrap_or_default(),
                }
            }
            backend::Verdict::Conflict { cause, current } => Self::Conflict {
                cause,
                current: load(current)?,
            },
        })
    }
}
