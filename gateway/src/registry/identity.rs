//! Checks that the object of a body is the object of the path, and the stored one.

use api_types::field::{self, Path};
use api_types::gvk::{GroupKind, GroupVersion};
use api_types::meta::Meta;
use api_types::resource_version::ResourceVersion;
use api_types::status::ApiError;
use serde_json::Value;

use super::Target;
use crate::scale::ScaleObject;
use crate::store::Stored;

/// kube-apiserver's text.
const OTHER_NAMESPACE: &str =
    "the namespace of the provided object does not match the namespace sent on the request";

/// Namespace and name of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Empty if absent.
    namespace: &'a str,
    /// Empty if absent.
    name: &'a str,
}

/// Rejects a body whose names differ from those of the path. The namespace may be absent.
///
/// # Errors
/// 400.
pub(crate) fn check(body: Names<'_>, asked: Names<'_>) -> Result<(), ApiError> {
    let anywhere = body.namespace.is_empty() || asked.namespace.is_empty();
    if !anywhere && body.namespace != asked.namespace {
        return Err(ApiError::bad_request(OTHER_NAMESPACE));
    }
    let (found, wanted) = (body.name, asked.name);
    if found.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be \
             provided"
        )));
    }
    if found != wanted {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({wanted})"
        )));
    }
    Ok(())
}

impl<'a> Names<'a> {
    /// Names of an object.
    pub(crate) fn of(object: &'a Value) -> Self {
        let meta = Meta::of(object);
        Self {
            namespace: meta.namespace(),
            name: meta.name(),
        }
    }

    /// Names of a client's Scale.
    pub(crate) fn of_scale(scale: &'a ScaleObject) -> Self {
        Self {
            namespace: &scale.namespace,
            name: &scale.name,
        }
    }

    /// Names of the path.
    pub(crate) fn asked(target: &'a Target) -> Self {
        Self {
            namespace: &target.namespace,
            name: &target.name,
        }
    }
}

/// Rejects an object whose namespace was changed by admission.
///
/// # Errors
/// 400.
pub(super) fn same_namespace(object: &Value, namespace: &str) -> Result<(), ApiError> {
    if Meta::of(object).namespace() == namespace {
        return Ok(());
    }
    Err(ApiError::bad_request(OTHER_NAMESPACE))
}

/// Checks that an update names the stored revision.
///
/// # Errors
/// 409 if the object has another revision, 422 if the update names none.
pub(super) fn expect_revision(
    target: &Target,
    object: &Value,
    stored: &Stored,
) -> Result<(), ApiError> {
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
            // kube-apiserver puts the plural in place of the kind here.
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

/// Checks that an update with a uid names the stored uid.
///
/// # Errors
/// 409 if the stored object has another uid.
pub(super) fn expect_uid(
    target: &Target,
    stored: &Stored,
    wanted: Option<&str>,
) -> Result<(), ApiError> {
    let found = stored.uid();
    let Some(wanted) = wanted.filter(|uid| *uid != found) else {
        return Ok(());
    };
    let reason =
        format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
    Err(invalid_object(target, &reason))
}

/// The 409 for a stored object that a write must not change, with the text of etcd's storage.
pub(super) fn invalid_object(target: &Target, reason: &str) -> ApiError {
    let (resource, key) = (target.served.group_resource(), target.key());
    let message = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{key}, ResourceVersion: 0, \
         AdditionalErrorMsg: {reason}",
        resource.group, resource.resource
    );
    ApiError::conflict(resource, &target.name, message)
}

/// The kind in an object, for error messages.
pub(super) fn kind_of(object: &Value) -> GroupKind {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let group = GroupVersion::parse(text("apiVersion")).map_or(String::new(), |it| it.group);
    GroupKind::new(group, text("kind"))
}
