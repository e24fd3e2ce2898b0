//! `GET` of one object or its scale.

use std::sync::Arc;

use api_types::go_text::quote;
use api_types::names;
use api_types::options::GetOptions;
use api_types::resource_version::ResourceVersion;
use api_types::status::ApiError;
use axum::body::Body;
use http::{Response, StatusCode};

use super::{Api, Call};
use crate::codec::{self, Negotiated};
use crate::compute::Run;
use crate::scale::ScaleView;
use crate::store::{Freshness, ObjectKey, Stored};

/// Reads an object. Reading its `status` subresource returns the same.
pub(super) async fn object(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let negotiated = Negotiated::of(&call.head)?;
    let object = read(api, call).await?;
    let served = call.served.clone();
    let weight = match object.bytes().len() {
        bytes if served.is_storage() => negotiated.weight(bytes),
        bytes => bytes,
    };
    let encode = move |_: &Run| {
        let bytes = served.view(object.bytes())?;
        codec::object(&negotiated, &served, StatusCode::OK, &bytes)
    };
    call.compute(api).run(weight, encode).await?
}

/// Reads the scale of an object.
pub(super) async fn scale(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let negotiated = Negotiated::of(&call.head)?;
    let object = read(api, call).await?;
    let (served, name) = (call.served.clone(), call.info.name.clone());
    let weight = object.bytes().len();
    let encode = move |_: &Run| {
        let bytes = served.view(object.bytes())?;
        let object = kube_json::reparse(&bytes).map_err(ApiError::internal)?;
        let Some(paths) = &served.version().scale else {
            let resource = served.group_resource();
            return Err(ApiError::not_found(resource, &name));
        };
        let scale = ScaleView::of(&object, paths)
            .map_err(|error| ApiError::internal_plain(error.to_string()))?;
        if scale.spec_replicas.is_none() {
            let path = quote(&paths.spec_replicas);
            let why = format!("the spec replicas field {path} does not exist");
            return Err(ApiError::internal(why));
        }
        Ok(scale)
    };
    let scale = call.compute(api).run(weight, encode).await??;
    codec::scale(&negotiated, StatusCode::OK, &scale)
}

async fn read(api: &Api, call: &mut Call) -> Result<Arc<Stored>, ApiError> {
    let (info, served) = (&call.info, &call.served);
    let query = call.head.uri.query().unwrap_or_default();
    reject_export(query)?;
    check_name(&info.name)?;
    let freshness = match GetOptions::parse(query)?.resource_version() {
        ResourceVersion::Unset => Freshness::Latest,
        ResourceVersion::Any => Freshness::Any,
        ResourceVersion::Number(revision) => Freshness::NotOlderThan(revision),
    };
    let key = ObjectKey::new(&info.namespace, &info.name);
    let found = api.store.get(served.resource().id(), &key, freshness);
    let missing = || ApiError::not_found(served.group_resource(), &info.name);
    found.await?.ok_or_else(missing)
}

/// Rejects a name that is not a valid path segment, without a lookup.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    let wrong = names::path_segment(name);
    if wrong.is_empty() {
        return Ok(());
    }
    let (name, wrong) = (quote(name), wrong.join(";"));
    let message = format!("Name parameter invalid: {name}: {wrong}");
    Err(ApiError::bad_request(message))
}

/// Rejects the removed `export` parameter, as kube-apiserver does.
fn reject_export(query: &str) -> Result<(), ApiError> {
    if !query.contains("export") {
        return Ok(());
    }
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "export");
    match asked {
        Some((_, value)) if value != "0" && !value.eq_ignore_ascii_case("false") => {
            Err(ApiError::bad_request(
                "the export parameter, deprecated since v1.14, is no longer supported",
            ))
        }
        _ => Ok(()),
    }
}
