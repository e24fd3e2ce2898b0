//! Implicit namespaces for a server without a cluster
//! (docs/adr/0006-namespaces-without-a-cluster.md).
//!
//! kubectl reads the namespace when an object in it is not found, to report which of the two is
//! missing.

use api_types::gvk::GroupResource;
use api_types::names;
use api_types::request_info::{RequestInfo, Verb};
use api_types::status::ApiError;
use axum::body::Body;
use http::request::Parts;
use http::{Response, StatusCode};
use kube_json::ObjectWriter;

use crate::codec;
use crate::reply;

/// The response to a request for one namespace; none for any other request.
pub(super) fn respond(info: &RequestInfo, head: &Parts) -> Option<Response<Body>> {
    let asked = (
        info.group.as_str(),
        info.version.as_str(),
        info.resource.as_str(),
    );
    if asked != ("", "v1", "namespaces") || info.verb != Verb::Get || !info.subresource.is_empty() {
        return None;
    }
    if !names::dns1123_label(&info.name).is_empty() {
        let error = ApiError::not_found(&GroupResource::new("", "namespaces"), &info.name);
        return Some(codec::error(&head.headers, &head.uri, &error));
    }
    Some(reply::body(
        StatusCode::OK,
        reply::JSON,
        namespace(&info.name),
    ))
}

fn namespace(name: &str) -> Vec<u8> {
    let mut json = Vec::new();
    let mut object = ObjectWriter::begin(&mut json);
    object.string("kind", "Namespace");
    object.string("apiVersion", "v1");
    let mut metadata = object.object("metadata");
    metadata.string("name", name);
    let mut labels = metadata.object("labels");
    labels.string("kubernetes.io/metadata.name", name);
    labels.end();
    metadata.end();
    let mut status = object.object("status");
    status.string("phase", "Active");
    status.end();
    object.end();
    json.push(b'\n');
    json
}
