//! Shared steps of the scale subresource.

use api_types::status::ApiError;
use axum::body::Body;
use crd_schema::ScalePaths;
use http::{Response, StatusCode};

use super::Call;
use crate::codec::{self, Negotiated};
use crate::compute::{Client, Run};
use crate::registry::Written;
use crate::scale::ScaleView;

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
