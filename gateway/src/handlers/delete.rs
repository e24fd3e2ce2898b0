//! `DELETE` of an object.

use api_types::media_type::Format;
use api_types::options::DeleteOptions;
use api_types::protobuf::read::DELETE_OPTIONS;
use api_types::status::{ApiError, Details, Status};
use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

use super::call::in_time;
use super::{Api, Call};
use crate::codec::{self, Negotiated, decode};
use crate::compute::Run;
use crate::registry::{Delete, Outcome};
use crate::request::Recording;

/// Annotation of requests that delete an object only if it cannot be decoded.
const UNDECODABLE: &str = "apiserver.k8s.io/unsafe-delete-ignore-read-error";

/// Deletes an object, or marks it as being deleted if it has finalizers.
pub(super) async fn delete(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let negotiated = Negotiated::of(&call.head)?;
    let options = options(api, call).await?;
    if options.only_undecodable() {
        call.context.annotations.add(UNDECODABLE, "");
    }
    let target = call.target(options.dry_run(), "");
    // As in kube-apiserver, a delayed deletion with `orphanDependents: false` is 202.
    let delayed = match options.orphan_dependents() {
        Some(false) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let plan = Delete { options };
    match in_time(&call.context, api.registry.write(&target, plan)).await? {
        Outcome::Gone { uid, .. } => {
            let resource = call.served.group_resource();
            let details = Details {
                name: call.info.name.clone(),
                group: resource.group.clone(),
                kind: resource.resource.clone(),
                uid,
                ..Details::default()
            };
            let status = Status {
                success: true,
                details: Some(details),
                ..Status::default()
            };
            codec::status(&negotiated, &status)
        }
        Outcome::Present(written) => call.written(api, negotiated, delayed, written.bytes).await,
    }
}

/// The options of the body, or of the query if the body is empty.
pub(super) async fn options(api: &Api, call: &mut Call) -> Result<DeleteOptions, ApiError> {
    let body = call.read_body().await?;
    if body.is_empty() {
        return DeleteOptions::parse(call.query());
    }
    let format = call.format()?;
    let body = call.document(body, DELETE_OPTIONS)?;
    let weight = decode::weight(format, &body);
    let compute = call.compute(api);
    let recording = call.context.recording.clone();
    let read = move |_: &Run| read(format, &body, &recording);
    compute.run(weight, read).await?
}

fn read(format: Format, body: &[u8], recording: &Recording) -> Result<DeleteOptions, ApiError> {
    let parsed = match format {
        Format::Json => kube_json::parse(body).map_err(|error| {
            ApiError::unparsed(error, |reason| {
                ApiError::bad_request(format!(
                    "couldn't get version/kind; json parse error: {reason}"
                ))
            })
        })?,
        Format::Yaml => kube_json::yaml::parse(body).map_err(|error| {
            ApiError::unparsed(error, |reason| {
                ApiError::bad_request(format!("error converting YAML to JSON: {reason}"))
            })
        })?,
    };
    expect_kind(&parsed.value)?;
    let options = DeleteOptions::from_body(&parsed.value);
    // Before the options are checked, as in kube-apiserver; but not if they cannot be decoded.
    if !matches!(&options, Err(error) if error.code() == StatusCode::BAD_REQUEST.as_u16()) {
        recording.body(|| typed(&parsed.value));
    }
    options
}

/// Options as JSON. kube-apiserver records them in its internal version.
fn typed(options: &Value) -> Bytes {
    let mut typed = options.clone();
    if let Some(fields) = typed.as_object_mut() {
        fields.insert("kind".to_owned(), "DeleteOptions".into());
        fields.insert("apiVersion".to_owned(), "meta.k8s.io/__internal".into());
    }
    kube_json::to_vec(&typed).into()
}

fn expect_kind(options: &Value) -> Result<(), ApiError> {
    let text = |key: &str| options.get(key).and_then(Value::as_str);
    let kind = text("kind").filter(|kind| !kind.is_empty());
    match kind {
        None | Some("DeleteOptions") => Ok(()),
        Some(kind) => {
            let version = text("apiVersion").unwrap_or("v1");
            Err(ApiError::bad_request(format!(
                "no kind {kind:?} is registered for version {version:?} in scheme \
                 \"pkg/runtime/scheme.go:111\""
            )))
        }
    }
}
