//! Changing an object: THE write loop.

use std::sync::Arc;

use api_types::field::{self, Path};
use api_types::gvk::GroupKind;
use api_types::meta::Meta;
use api_types::resource_version::ResourceVersion;
use api_types::status::ApiError;
use bytes::Bytes;
use serde_json::Value;

use super::create::kind_of;
use super::live::{self, Live};
use super::{Registry, Target, Written};
use crate::compute::Run;
use crate::store::{Action, Index, Stored, WriteOp, WriteOutcome};
use crate::strategy::prepare::Part;
use crate::strategy::{finalizers, prepare, validate};

/// What an update comes from; cheap to clone.
#[derive(Clone)]
pub(crate) struct Change {
    /// Which part of the object it may touch.
    pub part: Part,
    /// The uid that the object must have.
    pub uid: Option<Arc<str>>,
    /// Bytes of what the client sent.
    pub weight: usize,
    /// Makes the candidate.
    pub candidate: Candidate,
}

/// Makes a candidate from the object as it is; called again when another write came between.
pub(crate) type Candidate =
    Arc<dyn Fn(&Run, &Value) -> Result<Value, ApiError> + Send + Sync + 'static>;

/// What is to be done.
enum Next {
    /// Nothing, for a dry run.
    Imagined(Written),
    Store {
        value: Bytes,
        index: Index,
    },
    /// Nothing holds the object any more. Clients expect that of their request, as it was before it
    /// went.
    Delete(Written),
}

impl Registry {
    /// Changes an object.
    ///
    /// # Errors
    /// 404 if there is none, 409 if it is not the one that was meant, 422 if the outcome is invalid,
    /// 429 if too much heavy work waits.
    pub(crate) async fn update(
        &self,
        target: &Target,
        change: &Change,
    ) -> Result<Written, ApiError> {
        let compute = self.compute(target);
        let mut live = Live::first(self, target).await?;
        loop {
            let next = match &live.stored {
                None => Err(live::not_found(target)),
                Some(stored) => {
                    let weight = change.weight.max(stored.bytes().len());
                    let (target, change) = (target.clone(), change.clone());
                    let stored = Arc::clone(stored);
                    let judge = move |run: &Run| next(run, &target, &change, &stored);
                    compute.run(weight, judge).await?
                }
            };
            let next = match next {
                Ok(next) => next,
                Err(error) if live.fresh => return Err(error),
                Err(error) => {
                    let now = Live::now(self, target).await?;
                    // Judged already: it is as it was in the cache.
                    if now.shows(&live) {
                        return Err(error);
                    }
                    live = now;
                    continue;
                }
            };
            let Some(stored) = live.stored else {
                return Err(live::not_found(target));
            };
            let op = |action| WriteOp {
                resource: target.served.resource().id().clone(),
                key: target.key(),
                action,
                expected: Some(stored.revision()),
                uid: None,
                actor: target.actor(),
            };
            let outcome = match next {
                Next::Imagined(written) => return Ok(written),
                Next::Delete(written) => match self.store.write(op(Action::Delete)).await? {
                    WriteOutcome::Applied { .. } => return Ok(written),
                    WriteOutcome::Conflict { current, .. } => current,
                },
                Next::Store { value, index } => {
                    let update = Action::Update {
                        value: value.clone(),
                        index,
                    };
                    match self.store.write(op(update)).await? {
                        WriteOutcome::Applied { revision, .. } => {
                            return Written::stored(&compute, target, &value, revision).await;
                        }
                        WriteOutcome::Conflict { current, .. } => current,
                    }
                }
            };
            live = Live::answered(outcome);
        }
    }
}

/// What is to be done for the object after the change, judged.
fn next(run: &Run, target: &Target, change: &Change, stored: &Stored) -> Result<Next, ApiError> {
    let served = &target.served;
    if let Some(uid) = change.uid.as_deref().filter(|uid| *uid != stored.uid()) {
        return Err(wrong_uid(target, uid, stored.uid()));
    }
    let old = live::tree(target, stored)?;
    run.check()?;
    let mut object = (change.candidate)(run, &old)?;
    run.check()?;
    target.deduplicate_owners(&mut object, " after mutating admission happens");
    expect_revision(target, &object, stored)?;
    prepare::in_namespace(&mut object, &target.namespace)?;
    prepare::update(&mut object, &old, change.part, served.version().status);
    let errors = validate::update(served, &object, &old, change.part);
    run.check()?;
    let meta = Meta::of(&object);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&kind_of(&object), meta.name(), &errors));
    }
    if change.part == Part::Main {
        let added = finalizers::warnings(meta, Some(Meta::of(&old)));
        target.warnings.extend(added);
    }
    let before = Meta::of(&old);
    let grace = before.deletion_grace_period_seconds().unwrap_or(0);
    let finalized = before.is_deleting() && grace == 0 && meta.finalizers().next().is_none();
    let revision = Some(stored.revision());
    if target.dry_run {
        if !finalized {
            served.stored(&mut object)?;
        }
        return Written::imagined(target, object, revision).map(Next::Imagined);
    }
    if finalized {
        return Ok(Next::Delete(Written::unstored(object, revision)));
    }
    let (value, index) = served.stored(&mut object)?;
    Ok(Next::Store { value, index })
}

/// An update names the revision it was made from.
fn expect_revision(target: &Target, object: &Value, stored: &Stored) -> Result<(), ApiError> {
    let text = Meta::of(object).resource_version();
    let named = ResourceVersion::parse(text)
        .map_err(|error| ApiError::internal_plain(error.detail.clone()))?;
    let resource = target.served.group_resource();
    match named {
        ResourceVersion::Number(revision) if revision == stored.revision() => Ok(()),
        ResourceVersion::Number(_) => Err(ApiError::conflict(
            resource,
            &target.name,
            "the object has been modified; please apply your changes to the latest version and \
             try again",
        )),
        ResourceVersion::Unset | ResourceVersion::Any => {
            // The plural stands where a kind should: clients have seen it so for ever.
            let kind = GroupKind::new(&*resource.group, &*resource.resource);
            let metadata = Path::new("metadata");
            let error = field::Error::invalid(
                metadata.child("resourceVersion"),
                0_i64,
                "must be specified for an update",
            );
            Err(ApiError::invalid(&kind, &target.name, &[error]))
        }
    }
}

fn wrong_uid(target: &Target, wanted: &str, found: &str) -> ApiError {
    let resource = target.served.group_resource();
    let key = target.key();
    ApiError::conflict(
        resource,
        &target.name,
        format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{key}, ResourceVersion: \
             0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in \
             object meta: {found}",
            resource.group, resource.resource
        ),
    )
}
