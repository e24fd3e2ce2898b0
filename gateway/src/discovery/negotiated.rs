//! Content negotiation of discovery documents.

use api_types::media_type::{self, Format};
use api_types::status::ApiError;
use axum::body::Body;
use http::header::{ACCEPT, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::reply::{self, Document};

const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
const AGGREGATED_JSON: HeaderValue = HeaderValue::from_static(
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
);
const AGGREGATED_YAML: HeaderValue = HeaderValue::from_static(
    "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
);

/// A header as text; empty if absent or not text.
pub(super) fn header<'a>(head: &'a Parts, name: &HeaderName) -> &'a str {
    let value = head.headers.get(name);
    value.and_then(|it| it.to_str().ok()).unwrap_or_default()
}

/// A `meta/v1` document in the negotiated format.
pub(super) fn plain(document: &Document, head: &Parts) -> Response<Body> {
    let query = head.uri.query().unwrap_or_default();
    let agent = header(head, &USER_AGENT);
    match media_type::negotiate_document(header(head, &ACCEPT), query, agent) {
        Ok((Format::Json, true)) => pretty(document, reply::JSON),
        Ok((Format::Json, false)) => document.respond(&head.headers, reply::JSON),
        Ok((Format::Yaml, _)) => yaml(document, YAML),
        Err(error) => rejection(&error),
    }
}

/// The aggregated document in the requested format.
pub(super) fn aggregated(document: &Document, format: Format, head: &Parts) -> Response<Body> {
    let query = head.uri.query().unwrap_or_default();
    match format {
        Format::Json if media_type::wants_pretty(query, header(head, &USER_AGENT)) => {
            pretty(document, AGGREGATED_JSON)
        }
        Format::Json => document.respond(&head.headers, AGGREGATED_JSON),
        Format::Yaml => yaml(document, AGGREGATED_YAML),
    }
}

fn pretty(document: &Document, content_type: HeaderValue) -> Response<Body> {
    let json = kube_json::indent(document.bytes().trim_ascii_end());
    reply::body(StatusCode::OK, content_type, json)
}

fn yaml(document: &Document, content_type: HeaderValue) -> Response<Body> {
    match kube_json::reparse(document.bytes()) {
        Ok(value) => {
            let text = kube_json::yaml::to_string(&value);
            reply::body(StatusCode::OK, content_type, text)
        }
        Err(error) => rejection(&ApiError::internal(error)),
    }
}

/// The error for a client that accepts no available type: indented JSON, for people.
fn rejection(error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = kube_json::indent(&error.status().to_json());
    reply::body(code, reply::JSON, json)
}
