//! The write path. [`pipeline`] is the only loop that writes; a plan defines what differs between
//! kinds of writes.

mod contention;
mod pipeline;
mod stage;

mod plan;

mod apply;
mod create;
mod delete;
mod patch;
mod replace;
mod scale;

pub(crate) mod identity;
mod live;

pub(crate) use apply::{AppliedBody, Apply, Authorize};
pub(crate) use create::Create;
pub(crate) use delete::Delete;
pub(crate) use patch::{Body, Patch};
pub(crate) use replace::Replace;
pub(crate) use scale::{ApplyScale, PatchScale, ReplaceScale};

use std::sync::Arc;

use api_types::meta::Meta;
use api_types::revision::Revision;
use api_types::status::ApiError;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use self::contention::{Contention, Turn};
use self::plan::Plan;
use crate::admission::Chain;
use crate::authz::Permit;
use crate::compute::{Client, Run};
use crate::request::{Annotations, Warnings};
use crate::resources::Served;
use crate::store::{ObjectKey, Origin, Store, set_resource_version};
use crate::strategy::owners;

/// Handle to the write path; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    store: Store,
    admission: Arc<Chain>,
    contention: Arc<Contention>,
}

/// Target of a write and its user; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Proof that the write was authorized.
    pub permit: Permit,
    /// The request, as recorded in the history of the object.
    pub origin: Arc<Origin>,
    /// The resource in the version of the request.
    pub served: Served,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// Name; empty for a create.
    pub name: Arc<str>,
    /// Whether the write is a dry run.
    pub dry_run: bool,
    /// Deadline of the request.
    pub deadline: Option<Instant>,
    /// Warnings for the client.
    pub warnings: Warnings,
    /// Annotations for the audit event.
    pub annotations: Annotations,
}

/// Result of a write.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The object is stored.
    Present(Written),
    /// The object is deleted.
    Gone {
        /// Its uid; empty if the object could not be decoded.
        uid: String,
        /// The object after an update that removed its last finalizer.
        last: Option<Written>,
    },
}

/// An object as shown to the client.
#[derive(Debug)]
pub(crate) struct Written {
    /// Compact JSON in the version of the request, with `metadata.resourceVersion`.
    pub bytes: Bytes,
    /// Whether the object did not exist before.
    pub created: bool,
}

impl Registry {
    /// A write path that applies `admission`.
    pub(crate) fn new(store: Store, admission: Arc<Chain>) -> Self {
        Self {
            store,
            admission,
            contention: Arc::default(),
        }
    }

    /// Runs a write.
    ///
    /// # Errors
    /// Those of the pipeline.
    pub(crate) async fn write(
        &self,
        target: &Target,
        plan: impl Plan,
    ) -> Result<Outcome, ApiError> {
        pipeline::run(self, target, plan).await
    }

    /// Waits for a turn at the target if other writers contend for it.
    async fn turn_if_contended(&self, target: &Target) -> Option<Turn> {
        let (resource, key) = (target.served.resource().id(), target.key());
        self.contention.turn_if_contended(resource, key).await
    }

    /// Waits for a turn at the target.
    async fn turn(&self, target: &Target) -> Turn {
        let resource = target.served.resource().id();
        self.contention.turn(resource, target.key()).await
    }

    /// The pool for work on the target's object.
    fn compute(&self, target: &Target) -> Client {
        self.store.compute().of(&target.permit.user().name)
    }
}

impl Target {
    fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }

    /// Removes duplicate owner references and adds a warning; `when` names the check in the
    /// warning.
    pub(crate) fn deduplicate_owners(&self, object: &mut Value, when: &str) {
        let uids = owners::deduplicate(object);
        if !uids.is_empty() {
            self.warnings.add(format!(
                ".metadata.ownerReferences contains duplicate entries{when}; API server dedups \
                 owner references in 1.20+, and may reject such requests as early as 1.24; please \
                 fix your requests; duplicate UID(s) observed: {}",
                uids.join(", ")
            ));
        }
    }

    fn origin(&self) -> Arc<Origin> {
        Arc::clone(&self.origin)
    }
}

impl Outcome {
    /// The object of a create, update or patch.
    ///
    /// # Errors
    /// 500 for a deletion, which these are not.
    pub(crate) fn into_written(self) -> Result<Written, ApiError> {
        match self {
            Self::Present(written)
            | Self::Gone {
                last: Some(written),
                ..
            } => Ok(written),
            Self::Gone { last: None, .. } => Err(ApiError::internal("the object was deleted")),
        }
    }
}

impl Written {
    /// The object of a dry run; with a revision if one is stored.
    fn dry_run(mut object: Value, revision: Option<Revision>) -> Self {
        if let Some(revision) = revision {
            stamp(&mut object, revision.to_string());
        }
        Self {
            bytes: kube_json::to_vec(&object).into(),
            created: false,
        }
    }

    /// The object as it would be read back if it were stored.
    fn as_if_stored(
        target: &Target,
        mut object: Value,
        revision: Option<Revision>,
    ) -> Result<Self, ApiError> {
        if !target.served.is_storage() {
            let version = Meta::of(&object).resource_version().to_owned();
            let (value, _) = target.served.stored(&mut object)?;
            if let Some(reread) = target.served.reread(&value)? {
                object = reread;
            }
            if !version.is_empty() {
                stamp(&mut object, version);
            }
        }
        Ok(Self::dry_run(object, revision))
    }

    /// An object that was stored as these bytes at a revision.
    async fn stored(
        compute: &Client,
        target: &Target,
        stored: &Bytes,
        revision: Revision,
    ) -> Result<Self, ApiError> {
        let (served, value) = (target.served.clone(), stored.clone());
        let reread = move |_: &Run| {
            let reread = served.reread(&value)?;
            Ok::<_, ApiError>(reread.map(|object| Self::dry_run(object, Some(revision))))
        };
        let shown = if target.served.is_storage() {
            None
        } else {
            compute.run_accepted(stored.len(), reread).await?
        };
        shown.map_or_else(|| Self::under(stored, revision), Ok)
    }

    /// The object of these bytes at a revision.
    fn under(bytes: &Bytes, revision: Revision) -> Result<Self, ApiError> {
        let bytes = set_resource_version(bytes, revision);
        let bytes = bytes.ok_or_else(|| ApiError::internal("an object without metadata"))?;
        Ok(Self {
            bytes: bytes.into(),
            created: false,
        })
    }
}

/// Sets `metadata.resourceVersion`.
fn stamp(object: &mut Value, version: String) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), version.into());
    }
}
