//! Shared steps of the scale subresource.

use api_types::media_type::Format;
use api_types::options::FieldValidation;
use api_types::status::ApiError;
use axum::body::Body;
use crd_schema::ScalePaths;
use http::{Response, StatusCode};

use super::Call;
use crate::codec::{self, Negotiated, ScaleView};
use crate::compute::{Client, Run};
use crate::registry::{ScaleObject, Written};
use crate::request::Warnings;

/// A resource with the scale subresource.
pub(super) struct Scaled<'a> {
    /// Paths of the scale in its objects.
    pub(super) paths: &'a ScalePaths,
}

impl<'a> Scaled<'a> {
    /// The scale subresource of a request.
    ///
    /// # Errors
    /// 404 if the resource has none; routing has checked this already.
    pub(super) fn of(call: &'a Call) -> Result<Self, ApiError> {
        let served = &call.served;
        match &served.version().scale {
            Some(paths) => Ok(Self { paths }),
            None => Err(ApiError::not_found(
                served.group_resource(),
                &call.info.name,
            )),
        }
    }

    /// The Scale of a written object.
    ///
    /// # Errors
    /// 400 if the object has no valid scale.
    pub(super) async fn respond(
        &self,
        compute: &Client,
        negotiated: Negotiated,
        written: Written,
    ) -> Result<Response<Body>, ApiError> {
        let (weight, paths) = (written.bytes.len(), self.paths.clone());
        let show = move |_: &Run| {
            let object = kube_json::reparse(&written.bytes).map_err(ApiError::internal)?;
            let scale = ScaleView::of(&object, &paths)
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
            codec::scale(&negotiated, StatusCode::OK, &scale)
        };
        compute.run_accepted(weight, show).await
    }
}

/// The Scale in the body of a PUT.
///
/// # Errors
/// 400 without a reason, as in kube-apiserver.
pub(super) fn body(
    format: Format,
    body: &[u8],
    validation: FieldValidation,
    warnings: &Warnings,
) -> Result<ScaleObject, ApiError> {
    let rejected = || {
        ApiError::bad_request(
            "no kind is registered for the type v1.Scale in scheme \"pkg/runtime/scheme.go:111\"",
        )
    };
    let parsed = match format {
        Format::Json => kube_json::parse(body),
        Format::Yaml => kube_json::yaml::parse(body),
    };
    let parsed = parsed.map_err(|error| ApiError::unparsed(error, |_| rejected()))?;
    let text = |key: &str| parsed.value.get(key).and_then(|it| it.as_str());
    let named = (text("apiVersion").unwrap_or(""), text("kind").unwrap_or(""));
    if !["", "autoscaling/v1"].contains(&named.0) || !["", "Scale"].contains(&named.1) {
        return Err(rejected());
    }
    let (scale, unknown) = ScaleObject::read(&parsed.value).map_err(|_| rejected())?;
    match validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.extend(unknown),
        FieldValidation::Strict if unknown.is_empty() => {}
        FieldValidation::Strict => return Err(rejected()),
    }
    Ok(scale)
}
