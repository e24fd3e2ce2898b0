//! Deleting an object, at once or when its finalizers let go (semantics F.9).

use std::sync::Arc;

use api_types::gvk::GroupResource;
use api_types::meta::Meta;
use api_types::options::{DeleteOptions, PropagationPolicy};
use api_types::revision::Revision;
use api_types::status::ApiError;
use bytes::Bytes;
use jiff::Timestamp;

use super::live::{self, Live};
use super::{Registry, Target, Written};
use crate::compute::Run;
use crate::store::{Action, Index, StoreError, Stored, WriteOp, WriteOutcome};
use crate::strategy::{finalizers, prepare};

/// What a deletion led to.
#[derive(Debug)]
pub(crate) enum Deletion {
    /// The object is gone.
    Gone {
        /// The uid it had.
        uid: String,
    },
    /// Finalizers hold it.
    Held(Written),
}

/// What a deletion is about.
enum Marked {
    /// A dry run of one that finalizers hold.
    Imagined(Written),
    /// An object that finalizers hold, marked.
    Held {
        /// As the version of the request shows it.
        shown: Bytes,
        value: Bytes,
        index: Index,
    },
    /// One that nothing holds.
    Free,
}

/// Why a deletion did not come about.
enum Failure {
    Api(ApiError),
    Store(StoreError),
}

impl Registry {
    /// Deletes an object, or marks it if finalizers hold it.
    ///
    /// # Errors
    /// 404 if there is none, 409 if a precondition does not hold.
    pub(crate) async fn delete(
        &self,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Deletion, ApiError> {
        loop {
            match self.judged(target, options).await {
                Ok(deletion) => return Ok(deletion),
                Err(Failure::Api(error)) => return Err(error),
                Err(Failure::Store(error @ StoreError::Unreadable { .. })) => {
                    if let Some(deletion) = self.unread(target, options, error).await? {
                        return Ok(deletion);
                    }
                }
                Err(Failure::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// Removes an object that nobody can read, as it was when that `trouble` was met; none if it is
    /// another by now. Whether finalizers hold it cannot be told: nothing else gets rid of it.
    async fn unread(
        &self,
        target: &Target,
        options: &DeleteOptions,
        trouble: StoreError,
    ) -> Result<Option<Deletion>, ApiError> {
        let StoreError::Unreadable { revision, .. } = trouble else {
            return Err(trouble.into());
        };
        let wanted = options.preconditions();
        if wanted.uid.is_some() {
            return Err(trouble.into());
        }
        expect_revision(target, options, revision)?;
        let gone = Deletion::Gone { uid: String::new() };
        if target.dry_run {
            return Ok(Some(gone));
        }
        let op = WriteOp {
            resource: target.served.resource().id().clone(),
            key: target.key(),
            action: Action::Delete,
            expected: Some(revision),
            uid: None,
            actor: target.actor(),
        };
        match self.store.write(op).await {
            Ok(WriteOutcome::Applied { .. }) => {
                let (resource, key) = (target.served.resource().id(), target.key());
                tracing::warn!(%resource, %key, %revision, "an unreadable object was deleted");
                Ok(Some(gone))
            }
            Ok(WriteOutcome::Conflict { .. }) | Err(StoreError::Unreadable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn judged(&self, target: &Target, options: &DeleteOptions) -> Result<Deletion, Failure> {
        let compute = self.compute(target);
        let mut live = Live::first(self, target).await?;
        loop {
            let checked = match &live.stored {
                None => Err(live::not_found(target)),
                Some(stored) => preconditions(target, options, stored),
            };
            match checked {
                Err(_) if !live.fresh => {
                    live = Live::now(self, target).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
                Ok(()) => {}
            }
            let Some(stored) = live.stored else {
                return Err(live::not_found(target).into());
            };
            let (about, policy) = (target.clone(), options.propagation_policy());
            let (weight, found) = (stored.bytes().len(), Arc::clone(&stored));
            let judge = move |run: &Run| marked(run, &about, policy, &found);
            let marked = compute.run(weight, judge).await.map_err(ApiError::from)??;
            let (action, shown) = match marked {
                Marked::Imagined(written) => return Ok(Deletion::Held(written)),
                Marked::Free if target.dry_run => return Ok(gone(&stored)),
                Marked::Free => (Action::Delete, None),
                Marked::Held {
                    shown,
                    value,
                    index,
                } => (Action::Update { value, index }, Some(shown)),
            };
            let op = WriteOp {
                resource: target.served.resource().id().clone(),
                key: target.key(),
                action,
                expected: Some(stored.revision()),
                uid: None,
                actor: target.actor(),
            };
            match (self.store.write(op).await?, shown) {
                (WriteOutcome::Applied { revision, .. }, Some(shown)) => {
                    return Ok(Deletion::Held(Written::under(&shown, revision)?));
                }
                (WriteOutcome::Applied { .. }, None) => return Ok(gone(&stored)),
                (WriteOutcome::Conflict { current, .. }, _) => live = Live::answered(current),
            }
        }
    }
}

/// Marks an object as being deleted, if finalizers hold it.
fn marked(
    run: &Run,
    target: &Target,
    policy: Option<PropagationPolicy>,
    stored: &Stored,
) -> Result<Marked, ApiError> {
    let mut object = live::tree(target, stored)?;
    run.check()?;
    finalizers::for_deletion(&mut object, policy);
    if Meta::of(&object).finalizers().next().is_none() {
        return Ok(Marked::Free);
    }
    prepare::mark_deleting(&mut object, Timestamp::now());
    if target.dry_run {
        let written = Written::unstored(object, Some(stored.revision()));
        return Ok(Marked::Imagined(written));
    }
    let (value, index) = target.served.stored(&mut object)?;
    let shown = if target.served.is_storage() {
        value.clone()
    } else {
        kube_json::to_vec(&object).into()
    };
    Ok(Marked::Held {
        shown,
        value,
        index,
    })
}

fn gone(stored: &Stored) -> Deletion {
    Deletion::Gone {
        uid: stored.uid().to_owned(),
    }
}

fn preconditions(
    target: &Target,
    options: &DeleteOptions,
    stored: &Stored,
) -> Result<(), ApiError> {
    // The kind stands where a resource should: clients have seen it so for ever.
    let kind = target.served.group_kind();
    let resource = GroupResource::new(&*kind.group, &*kind.kind);
    let wanted = options.preconditions();
    if let Some(uid) = wanted.uid.as_deref().filter(|uid| *uid != stored.uid()) {
        let message = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The \
             object might have been deleted and then recreated",
            stored.uid()
        );
        return Err(ApiError::conflict(&resource, &target.name, message));
    }
    expect_revision(target, options, stored.revision())
}

fn expect_revision(
    target: &Target,
    options: &DeleteOptions,
    revision: Revision,
) -> Result<(), ApiError> {
    let kind = target.served.group_kind();
    let resource = GroupResource::new(&*kind.group, &*kind.kind);
    let revision = revision.to_string();
    let wanted = options.preconditions();
    let version = wanted.resource_version.as_deref();
    if let Some(version) = version.filter(|version| **version != revision) {
        let message = format!(
            "the ResourceVersion in the precondition ({version}) does not match the \
             ResourceVersion in record ({revision}). The object might have been modified"
        );
        return Err(ApiError::conflict(&resource, &target.name, message));
    }
    Ok(())
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
