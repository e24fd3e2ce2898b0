//! Whether the object of a body is the one of the path, and the one that is stored.

use api_types::field::{self, Path};
use api_types::gvk::{GroupKind, GroupVersion};
use api_types::meta::Meta;
use api_types::resource_version::ResourceVersion;
use api_types::status::ApiError;
use serde_json::Value;

use super::{ScaleObject, Target};
use crate::store::Stored;

/// kube-apiserver's text.
const OTHER_NAMESPACE: &str =
    "the namespace of the provided object does not match the namespace sent on the request";

/// Namespace and name of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Empty for none.
    namespace: &'a str,
    /// Empty for none.
    name: &'a str,
}

/// Demands that a body's names are those of the path. The namespace may be missing.
///
/// # Errors
/// 400 if they are not.
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
    /// Those of an object.
    pub(crate) fn of(object: &'a Value) -> Self {
        let meta = Meta::of(object);
        Self {
            namespace: meta.namespace(),
            name: meta.name(),
        }
    }

    /// Those of a client's Scale.
    pub(crate) fn of_scale(scale: &'a ScaleObject) -> Self {
        Self {
            namespace: &scale.namespace,
            name: &scale.name,
        }
    }

    /// Those in the path.
    pub(crate) fn asked(target: &'a Target) -> Self {
        Self {
            namespace: &target.namespace,
            name: &target.name,
        }
    }
}

/// Rejects an object whose namespace admission has changed.
///
/// # Errors
/// 400.
pub(super) fn same_namespace(object: &Value, namespace: &str) -> Result<(), ApiError> {
    if Meta::of(object).namespace() == namespace {
        return Ok(());
    }
    Err(ApiError::bad_request(OTHER_NAMESPACE))
}

/// An update names the revision it was made from.
///
/// # Errors
/// 409 if the object has another one by now, 422 if none is named.
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
            // kube-apiserver has the plural where a kind should be.
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

/// An update that names a uid is of the object that has it.
///
/// # Errors
/// 409 if the stored object has another one.
pub(super) fn expect_uid(
    target: &Target,
    stored: &Stored,
    wanted: Option<&str>,
) -> Result<(), ApiError> {
    let found = stored.uid();
    let Some(wanted) = wanted.filter(|uid| *uid != found) else {
        return Ok(());
    };
    let (resource, key) = (target.served.group_resource(), target.key());
    let message = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{key}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object \
         meta: {found}",
        resource.group, resource.resource
    );
    Err(ApiError::conflict(resource, &target.name, message))
}

/// The kind that an object says it is, for errors about it.
pub(super) fn kind_of(object: &Value) -> GroupKind {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let group = GroupVersion::parse(text("apiVersion")).map_or(String::new(), |it| it.group);
    GroupKind::new(group, text("kind"))
}
