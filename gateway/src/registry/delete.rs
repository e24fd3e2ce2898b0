//! `delete`: immediately, or after the last finalizer is removed. The deletion of a collection runs
//! one of these per object.

use api_types::gvk::GroupResource;
use api_types::meta::Meta;
use api_types::options::DeleteOptions;
use api_types::revision::Revision;
use api_types::status::ApiError;
use jiff::Timestamp;
use serde_json::Value;

use super::live::{self, Current};
use super::plan::Plan;
use super::{Target, identity};
use crate::admission::{Operation, Options};
use crate::compute::Run;
use crate::store::Stored;
use crate::strategy::{finalizers, prepare};

/// Deletes the object, or marks it if it has finalizers.
#[derive(Debug)]
pub(crate) struct Delete {
    /// The options of the request.
    pub options: DeleteOptions,
}

impl Plan for Delete {
    fn operation(&self) -> Operation {
        Operation::Delete
    }

    fn options(&self) -> Options<'_> {
        Options::Delete(&self.options)
    }

    fn check(&self, target: &Target, current: &Current) -> Result<(), ApiError> {
        match current {
            Current::Absent => Err(live::not_found(target)),
            Current::Present(_) if self.options.only_undecodable() => {
                let reason = "unsafe deletion is not allowed because the object is decodable from \
                              storage";
                Err(identity::invalid_object(target, reason))
            }
            Current::Present(stored) => {
                self.expect_uid(target, stored)?;
                self.expect_revision(target, stored.revision())
            }
            // Deletion is the only way to remove the object, and its uid cannot be decoded, so a
            // uid precondition is rejected.
            Current::Undecodable { error, .. } if self.options.preconditions().uid.is_some() => {
                Err(error.clone().into())
            }
            Current::Undecodable { revision, .. } => self.expect_revision(target, *revision),
        }
    }

    fn candidate(
        &self,
        _run: &Run,
        _target: &Target,
        old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        let policy = self.options.propagation_policy();
        // The finalizers of an undecodable object are unknown.
        let Some(old) = old.filter(|old| finalizers::delay_deletion(Meta::of(old), policy)) else {
            return Ok(None);
        };
        let mut object = old.clone();
        finalizers::for_deletion(&mut object, policy);
        prepare::mark_deleting(&mut object, Timestamp::now());
        Ok(Some(object))
    }
}

impl Delete {
    fn expect_uid(&self, target: &Target, stored: &Stored) -> Result<(), ApiError> {
        let wanted = self.options.preconditions().uid.as_deref();
        let Some(uid) = wanted.filter(|uid| *uid != stored.uid()) else {
            return Ok(());
        };
        let message = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The \
             object might have been deleted and then recreated",
            stored.uid()
        );
        Err(conflict(target, message))
    }

    fn expect_revision(&self, target: &Target, revision: Revision) -> Result<(), ApiError> {
        let revision = revision.to_string();
        let wanted = self.options.preconditions().resource_version.as_deref();
        let Some(version) = wanted.filter(|version| *version != revision) else {
            return Ok(());
        };
        let message = format!(
            "the ResourceVersion in the precondition ({version}) does not match the \
             ResourceVersion in record ({revision}). The object might have been modified"
        );
        Err(conflict(target, message))
    }
}

/// kube-apiserver names the kind here, the resource in other conflicts.
fn conflict(target: &Target, message: String) -> ApiError {
    let kind = target.served.group_kind();
    let resource = GroupResource::new(&*kind.group, &*kind.kind);
    ApiError::conflict(&resource, &target.name, message)
}
