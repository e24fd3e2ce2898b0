//! `PATCH` of an object, its status or its scale by server-side apply.

use std::sync::Arc;

use api_types::media_type::Format;
use api_types::options::PatchOptions;
use api_types::request_info::Verb;
use api_types::status::ApiError;
use axum::body;
use futures_util::FutureExt as _;
use http::{Response, StatusCode};
use kube_json::Parsed;

use super::call::{in_time, named};
use super::scale::Scaled;
use super::{Api, Call};
use crate::codec::{Negotiated, decode};
use crate::compute::Run;
use crate::registry::{AppliedBody, Apply, ApplyScale, Authorize};
use crate::strategy::prepare::Part;

/// Applies a configuration; creates the object if it does not exist.
pub(super) async fn apply(
    api: &Api,
    call: &mut Call,
    part: Part,
) -> Result<Response<body::Body>, ApiError> {
    let (negotiated, body) = read(api, call).await?;
    let target = call.target(body.options.dry_run(), body.options.field_manager());
    let plan = Apply {
        part,
        body,
        authorize_create: (part == Part::Main).then(|| authorization(api, call)),
    };
    let outcome = in_time(&call.context, api.registry.write(&target, plan)).await?;
    let written = outcome.into_written()?;
    let status = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    call.written(api, negotiated, status, written.bytes).await
}

/// Applies a configuration to the scale of an object.
pub(super) async fn apply_scale(
    api: &Api,
    call: &mut Call,
) -> Result<Response<body::Body>, ApiError> {
    let (negotiated, body) = read(api, call).await?;
    let scaled = Scaled::of(call)?;
    let target = call.target(body.options.dry_run(), body.options.field_manager());
    let plan = ApplyScale {
        paths: scaled.paths.clone(),
        body,
    };
    let outcome = in_time(&call.context, api.registry.write(&target, plan)).await?;
    let written = outcome.into_written()?;
    scaled
        .respond(&call.compute(api), negotiated, written)
        .await
}

/// Reads head and body, in the order in which kube-apiserver checks them.
async fn read(api: &Api, call: &mut Call) -> Result<(Negotiated, AppliedBody), ApiError> {
    named(&call.info)?;
    let negotiated = Negotiated::of(&call.head)?;
    let body = call.read_body().await?;
    let options = PatchOptions::parse(call.query(), true)?;
    let weight = decode::weight(Format::Yaml, &body);
    let parse = move |_: &Run| match parse_json(&body) {
        Some(parsed) => Ok(parsed),
        None => kube_json::yaml::parse(&body),
    };
    let parsed = call.compute(api).run(weight, parse).await?;
    let malformed = |problem| ApiError::bad_request(format!("error encoding patch: {problem}"));
    let Parsed { value, duplicates } =
        parsed.map_err(|error| ApiError::unparsed(error, malformed))?;
    if !value.is_object() && !value.is_null() {
        let kind = kube_json::json_kind(&value);
        return Err(ApiError::bad_request(format!(
            "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot \
             unmarshal {kind} into Go value of type map[string]interface {{}}"
        )));
    }
    let recording = &call.context.recording;
    recording.body(|| kube_json::to_vec(&value).into());
    let body = AppliedBody {
        object: value.into(),
        duplicates,
        options,
        weight,
    };
    Ok((negotiated, body))
}

/// Parses JSON, which clients send and which is YAML as well: faster, and without the limit of
/// values. `None` for other YAML, for repeated keys, whose messages have lines, and for tabs, which
/// YAML restricts.
fn parse_json(body: &[u8]) -> Option<Parsed> {
    if body.contains(&b'\t') {
        return None;
    }
    let parsed = kube_json::parse(body).ok()?;
    if !parsed.duplicates.is_empty() {
        return None;
    }
    // Twice, because YAML is converted to JSON, which decides on the numbers that are integers.
    kube_json::parse(&kube_json::to_vec(&parsed.value)).ok()
}

/// Authorizes the request as a create.
fn authorization(api: &Api, call: &Call) -> Authorize {
    let authorizers = api.authorizers.clone();
    let user = call.permit.shared_user();
    let mut info = call.info.clone();
    info.verb = Verb::Create;
    let info = Arc::new(info);
    Box::new(move || {
        let (authorizers, user, info) = (authorizers.clone(), Arc::clone(&user), Arc::clone(&info));
        async move {
            let permitted = authorizers.authorize(user, &info, None).await;
            permitted
                .map(|_| ())
                .map_err(|rejection| rejection.into_error())
        }
        .boxed()
    })
}
