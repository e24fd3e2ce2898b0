//! The only writer: conducts decoding, strategy, schema and store in the one order that is the API's
//! contract.
//!
//! Every change is one loop: take the object as it is, make the candidate, judge it, write it if the
//! object is still the one that was looked at, and else begin again with what is there now. The
//! first look may be at the cache: nothing is refused before the backend was asked.
//!
//! What is between two calls of the store is one job of [`crate::compute`], which may take its time
//! without keeping anybody else.

mod create;
mod delete;
mod update;

mod live;
mod scale;

pub(crate) use delete::Deletion;
pub(crate) use scale::{ScaleObject, document};
pub(crate) use update::Change;

use std::sync::Arc;

use api_types::meta::Meta;
use api_types::revision::Revision;
use api_types::status::ApiError;
use bytes::Bytes;
use serde_json::Value;

use crate::authz::Permit;
use crate::compute::{Client, Run};
use crate::request::Warnings;
use crate::resources::Served;
use crate::store::{ObjectKey, Store, set_resource_version};
use crate::strategy::owners;

/// Handle to everything that can be written; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    store: Store,
}

/// What a write is about, and who asks; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Proof that it is allowed; its user goes into the backend's log.
    pub permit: Permit,
    /// The resource in the version of the request.
    pub served: Served,
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// Name; empty for a create.
    pub name: Arc<str>,
    /// Whether everything is to be done but the writing.
    pub dry_run: bool,
    /// Where warnings for the client go.
    pub warnings: Warnings,
}

/// An object after a write.
#[derive(Debug)]
pub(crate) struct Written {
    /// Compact JSON in the version of the request, `metadata.resourceVersion` included.
    pub bytes: Bytes,
}

impl Registry {
    /// Writes to a store.
    pub(crate) const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Where the work on the target's object is done.
    fn compute(&self, target: &Target) -> Client {
        self.store.compute().of(&target.permit.user().name)
    }
}

impl Target {
    fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }

    /// Removes references to owners that are there twice, and warns of them; `when` tells at which
    /// of two looks.
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

    fn actor(&self) -> String {
        self.permit.user().name.clone()
    }
}

impl Written {
    /// An object as it came, because nothing was stored; under a revision if it has one.
    fn unstored(mut object: Value, revision: Option<Revision>) -> Self {
        if let Some(revision) = revision {
            stamp(&mut object, revision.to_string());
        }
        Self {
            bytes: kube_json::to_vec(&object).into(),
        }
    }

    /// An object as it would have been read back, had it been stored.
    fn imagined(
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
        Ok(Self::unstored(object, revision))
    }

    /// An object that was stored as these bytes under a revision.
    async fn stored(
        compute: &Client,
        target: &Target,
        stored: &Bytes,
        revision: Revision,
    ) -> Result<Self, ApiError> {
        let (served, value) = (target.served.clone(), stored.clone());
        let reread = move |_: &Run| {
            let reread = served.reread(&value)?;
            Ok::<_, ApiError>(reread.map(|object| Self::unstored(object, Some(revision))))
        };
        let shown = if target.served.is_storage() {
            None
        } else {
            compute.go_on(stored.len(), reread).await?
        };
        shown.map_or_else(|| Self::under(stored, revision), Ok)
    }

    /// An object as these bytes show it, under a revision.
    fn under(bytes: &Bytes, revision: Revision) -> Result<Self, ApiError> {
        let bytes = set_resource_version(bytes, revision.get());
        let bytes = bytes.ok_or_else(|| ApiError::internal("an object without metadata"))?;
        Ok(Self {
            bytes: bytes.into(),
        })
    }
}

/// Sets `metadata.resourceVersion`.
fn stamp(object: &mut Value, version: String) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), version.into());
    }
}
