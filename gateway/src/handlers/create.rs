//! `POST` of a collection.

use api_types::options::CreateOptions;
use api_types::status::ApiError;
use axum::body::Body;
use http::{Response, StatusCode};

use super::call::in_time;
use super::{Api, Call};
use crate::codec::{Negotiated, decode};
use crate::compute::Run;
use crate::registry::{Create, Target};

/// Creates the object of the body, or answers it if it is a review.
pub(super) async fn create(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let negotiated = Negotiated::of(&call.head)?;
    let format = call.format()?;
    let body = call.read_body().await?;
    let body = call.document(body, call.message())?;
    let options = CreateOptions::parse(call.query())?;
    let validation = options.field_validation();
    let target = Target {
        // kube-apiserver ignores a name in the path of a POST.
        name: "".into(),
        ..call.target(options.dry_run(), options.field_manager())
    };
    let (weight, about) = (decode::weight(format, &body), target.clone());
    let recording = call.context.recording.clone();
    let decode = move |_: &Run| {
        let Target {
            served, warnings, ..
        } = &about;
        let object = decode::body(served, format, &body, validation, warnings)?;
        recording.object(&object);
        Ok::<_, ApiError>(object)
    };
    if let Some(review) = call.served.resource().review() {
        let mut object = call.compute(api).run(weight, decode).await??;
        review(call.permit.user(), &mut object)?;
        let bytes = kube_json::to_vec(&object).into();
        return call
            .written(api, negotiated, StatusCode::CREATED, bytes)
            .await;
    }
    let plan = Create::new(options, weight, decode);
    let outcome = in_time(&call.context, api.registry.write(&target, plan)).await?;
    let written = outcome.into_written()?;
    call.written(api, negotiated, StatusCode::CREATED, written.bytes)
        .await
}
