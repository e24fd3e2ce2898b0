//! Changing an object: THE write loop.

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
use crate::store::{Action, Index, Stored, WriteOp, WriteOutcome};
use crate::strategy::prepare::Part;
use crate::strategy::{finalizers, prepare, validate};

/// What an update comes from.
pub(crate) struct Change<'a> {
    /// Which part of the object it may touch.
    pub part: Part,
    /// The uid that the object must have.
    pub uid: Option<&'a str>,
    /// Makes the candidate from the object as it is; called again when another write came between.
    pub candidate: &'a (dyn Fn(&Value) -> Result<Value, ApiError> + Send + Sync),
}

/// What is to be written.
struct Next {
    object: Value,
    /// The object as it is stored; none if it is gone afterwards, because nothing holds it any
    /// more.
    stored: Option<(Bytes, Index)>,
}

impl Registry {
    /// Removes references to owners that a client's object has twice, and warns of them.
    #[expect(clippy::unused_self, reason = "writes are asked of the registry only")]
    pub(crate) fn deduplicate_owners(&self, target: &Target<'_>, object: &mut Value) {
        target.deduplicate_owners(object, "");
    }

    /// Changes an object.
    ///
    /// # Errors
    /// 404 if there is none, 409 if it is not the one that was meant, 422 if the outcome is invalid.
    pub(crate) async fn update(
        &self,
        target: &Target<'_>,
        change: &Change<'_>,
    ) -> Result<Written, ApiError> {
        let mut live = Live::first(self, target).await?;
        loop {
            let next = match &live.stored {
                None => Err(live::not_found(target)),
                Some(stored) => next(target, change, stored),
            };
            let next = match next {
                Ok(next) => next,
                Err(_) if !live.fresh => {
                    live = Live::now(self, target).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(stored) = live.stored else {
                return Err(live::not_found(target));
            };
            let revision = stored.revision();
            let Next { object, stored } = next;
            if target.dry_run {
                return Written::imagined(target, object, Some(revision));
            }
            let value = stored.as_ref().map(|(value, _)| value.clone());
            let action = match stored {
                Some((value, index)) => Action::Update { value, index },
                None => Action::Delete,
            };
            let op = WriteOp {
                resource: target.served.resource().id().clone(),
                key: target.key(),
                action,
                expected: Some(revision),
                uid: None,
                actor: target.actor(),
            };
            match (self.store.write(op).await?, value) {
                // Clients expect the object of their request, as it was before it went.
                (WriteOutcome::Applied { .. }, None) => {
                    return Ok(Written::unstored(object, Some(revision)));
                }
                (WriteOutcome::Applied { revision, .. }, Some(value)) => {
                    return Written::stored(target, object, &value, revision);
                }
                (WriteOutcome::Conflict { current, .. }, _) => live = Live::answered(current),
            }
        }
    }
}

/// The object after the change, judged.
fn next(target: &Target<'_>, change: &Change<'_>, stored: &Stored) -> Result<Next, ApiError> {
    let served = target.served;
    if let Some(uid) = change.uid.filter(|uid| *uid != stored.uid()) {
        return Err(wrong_uid(target, uid, stored.uid()));
    }
    let old = live::tree(target, stored)?;
    let mut object = (change.candidate)(&old)?;
    target.deduplicate_owners(&mut object, " after mutating admission happens");
    expect_revision(target, &object, stored)?;
    prepare::in_namespace(&mut object, target.namespace)?;
    prepare::update(&mut object, &old, change.part, served.version().status);
    let errors = validate::update(served, &object, &old, change.part);
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
    let stored = if finalized {
        None
    } else {
        Some(served.stored(&mut object)?)
    };
    Ok(Next { object, stored })
}

/// An update names the revision it was made from.
fn expect_revision(target: &Target<'_>, object: &Value, stored: &Stored) -> Result<(), ApiError> {
    let text = Meta::of(object).resource_version();
    let named = ResourceVersion::parse(text)
        .map_err(|error| ApiError::internal_plain(error.detail.clone()))?;
    let resource = target.served.group_resource();
    match named {
        ResourceVersion::Number(revision) if revision == stored.revision() => Ok(()),
        ResourceVersion::Number(_) => Err(ApiError::conflict(
            resource,
            target.name,
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
            Err(ApiError::invalid(&kind, target.name, &[error]))
        }
    }
}

fn wrong_uid(target: &Target<'_>, wanted: &str, found: &str) -> ApiError {
    let resource = target.served.group_resource();
    let key = target.key();
    ApiError::conflict(
        resource,
        target.name,
        format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{key}, ResourceVersion: \
             0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in \
             object meta: {found}",
            resource.group, resource.resource
        ),
    )
}
