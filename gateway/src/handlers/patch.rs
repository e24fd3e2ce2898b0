//! `PATCH` of an object, its status, or its scale.

use api_types::media_type;
use api_types::media_type::PatchType;
use api_types::options::PatchOptions;
use api_types::status::ApiError;
use axum::body;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

use super::call::{in_time, named};
use super::scale::Scaled;
use super::{Api, Call};
use crate::codec::Negotiated;
use crate::compute::{Recomputable, Run};
use crate::patch;
use crate::registry::{Body, Patch, PatchScale};
use crate::strategy::prepare::Part;

/// Patches an object, or the part that the subresource selects.
pub(super) async fn patch(
    api: &Api,
    call: &mut Call,
    part: Part,
) -> Result<Response<body::Body>, ApiError> {
    if patch_type(call)? == PatchType::Apply {
        return super::apply::apply(api, call, part).await;
    }
    let (negotiated, body) = read(api, call).await?;
    let target = call.target(body.options.dry_run(), body.options.field_manager());
    let plan = Patch { part, body };
    let outcome = in_time(&call.context, api.registry.write(&target, plan)).await?;
    let written = outcome.into_written()?;
    call.written(api, negotiated, StatusCode::OK, written.bytes)
        .await
}

/// Patches the replicas of an object.
pub(super) async fn patch_scale(
    api: &Api,
    call: &mut Call,
) -> Result<Response<body::Body>, ApiError> {
    if media_type::of_patch(call.header(&CONTENT_TYPE))? == PatchType::Apply {
        return super::apply::apply_scale(api, call).await;
    }
    let (negotiated, body) = read(api, call).await?;
    let scaled = Scaled::of(call)?;
    let target = call.target(body.options.dry_run(), body.options.field_manager());
    let plan = PatchScale {
        paths: scaled.paths.clone(),
        body,
    };
    let outcome = in_time(&call.context, api.registry.write(&target, plan)).await?;
    let written = outcome.into_written()?;
    scaled
        .respond(&call.compute(api), negotiated, written)
        .await
}

/// The type of the patch. A strategic merge patch of a built-in kind is applied as a merge patch,
/// from which it differs in lists only.
fn patch_type(call: &Call) -> Result<PatchType, ApiError> {
    if is_strategic(call) {
        return Ok(PatchType::Merge);
    }
    media_type::of_patch(call.header(&CONTENT_TYPE))
}

/// Whether the patch is a strategic merge patch, which custom resources do not have.
fn is_strategic(call: &Call) -> bool {
    let content_type = call.header(&CONTENT_TYPE).split(';').next();
    call.served.resource().is_built_in()
        && content_type == Some("application/strategic-merge-patch+json")
}

/// Reads head and body, in the order in which kube-apiserver checks them.
async fn read(api: &Api, call: &mut Call) -> Result<(Negotiated, Body), ApiError> {
    let kind = patch_type(call)?;
    if kind == PatchType::Apply {
        return Err(patch::unsupported());
    }
    named(&call.info)?;
    let negotiated = Negotiated::of(&call.head)?;
    let body = call.read_body().await?;
    let options = PatchOptions::parse(call.query(), false)?;
    let (weight, validation) = (patch::weight(kind, &body), options.field_validation());
    let strategic = is_strategic(call);
    let recording = call.context.recording.clone();
    let parse = move |_: &Run| {
        let patch = patch::Patch::parse(kind, &body, validation)?;
        if strategic {
            patch.expect_no_lists_to_merge()?;
        }
        // Valid JSON, because it was parsed.
        recording.body(|| body.clone());
        Ok::<_, ApiError>(patch)
    };
    let first = move |run: &Run| {
        let patch = parse(run)?;
        Ok::<_, ApiError>(Recomputable::new(run, patch, parse))
    };
    let patch = call.compute(api).run(weight, first).await??;
    let body = Body {
        patch,
        options,
        weight,
    };
    Ok((negotiated, body))
}
