//! Whether the object of a body is the one of the path.

use api_types::meta::Meta;
use api_types::request_info::RequestInfo;
use api_types::status::ApiError;
use serde_json::Value;

use crate::registry::ScaleObject;

/// What an object is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    /// Empty for none.
    namespace: &'a str,
    /// Empty for none.
    name: &'a str,
}

/// Demands that a path names an object.
///
/// # Errors
/// 400 if it does not.
pub(super) fn named(info: &RequestInfo) -> Result<(), ApiError> {
    if info.name.is_empty() {
        return Err(ApiError::bad_request("name must be provided"));
    }
    Ok(())
}

/// Demands that a body's names are those of the path. The namespace may be missing.
///
/// # Errors
/// 400 if they are not.
pub(super) fn check(body: Names<'_>, asked: Names<'_>) -> Result<(), ApiError> {
    let anywhere = body.namespace.is_empty() || asked.namespace.is_empty();
    if !anywhere && body.namespace != asked.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
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
    pub(super) fn of(object: &'a Value) -> Self {
        let meta = Meta::of(object);
        Self {
            namespace: meta.namespace(),
            name: meta.name(),
        }
    }

    /// Those of a client's Scale.
    pub(super) fn of_scale(scale: &'a ScaleObject) -> Self {
        Self {
            namespace: &scale.namespace,
            name: &scale.name,
        }
    }

    /// Those in the path.
    pub(super) fn asked(info: &'a RequestInfo) -> Self {
        Self {
            namespace: &info.namespace,
            name: &info.name,
        }
    }
}
