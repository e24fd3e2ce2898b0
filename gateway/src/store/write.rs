//! Writes of one object.

use std::sync::Arc;

use api_types::revision::Revision;

use crate::backend;
use crate::compute::{Client, Run};
use crate::store::load::Loader;
use crate::store::{ObjectKey, ResourceId, StoreError, Stored};

pub use crate::backend::{Action, Cause, Index, Origin};

/// A change that is applied only if its expectations hold.
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

/// Outcome of a change.
#[derive(Clone, Debug)]
pub enum WriteOutcome {
    /// The change is stored and durable.
    Applied {
        /// Its revision; for a no-op the unchanged revision of the stored object.
        revision: Revision,
        /// The same bytes were already stored: nothing was written, and no event exists.
        noop: bool,
    },
    /// An expectation did not hold; nothing was stored.
    Conflict {
        /// The failed expectation.
        cause: Cause,
        /// The stored object, if any.
        current: Option<Arc<Stored>>,
    },
}

impl WriteOp {
    /// The operation for the backend; `found` is the approximate size of the stored object.
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
            // The response to a delete carries no object, because the caller has read it.
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
