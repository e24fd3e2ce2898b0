//! Changing one object.

use std::sync::Arc;

use api_types::revision::Revision;

use crate::backend;
use crate::compute::{Client, Run};
use crate::store::load::Loader;
use crate::store::{ObjectKey, ResourceId, StoreError, Stored};

pub use crate::backend::{Action, Cause, Index, Origin};

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
    /// The request that asks for it.
    pub origin: Arc<Origin>,
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
            origin: self.origin,
            found,
        }
    }
}

impl WriteOutcome {
    pub(super) async fn load(
        compute: &Client,
        verdict: backend::Verdict,
        resource: ResourceId,
        loader: &Arc<Loader>,
    ) -> Result<Self, StoreError> {
        Ok(match verdict {
            // Whoever deletes knows what was there.
            backend::Verdict::Applied { revision, noop, .. } => {
                let revision = Revision::new(revision).ok_or_else(StoreError::no_revision)?;
                Self::Applied { revision, noop }
            }
            backend::Verdict::Conflict {
                cause,
                current: None,
            } => Self::Conflict {
                cause,
                current: None,
            },
            backend::Verdict::Conflict {
                cause,
                current: Some(record),
            } => {
                let (weight, loader) = (record.value.len(), Arc::clone(loader));
                let load = move |_: &Run| Arc::new(loader.object(&resource, &record));
                let object = compute.run_accepted(weight, load).await;
                match object.trouble() {
                    None => Self::Conflict {
                        cause,
                        current: Some(object),
                    },
                    Some(trouble) => return Err(trouble),
                }
            }
        })
    }
}
