//! Small responses that are not encoded by `codec`: texts, JSON documents, Status objects.

mod document;
mod line;
mod status;

use std::sync::Arc;

use api_types::status::Status;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

pub use document::Document;
pub use line::Line;
pub use status::{Layout, status, write_status};

/// `application/json`.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// Response extension for a body that is produced while it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// Bytes of the first chunk.
    pub first: usize,
    /// Bytes that the rest is made from, held until the response is complete.
    pub retained: usize,
}

/// Response extension of a watch: how the events of its body are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A line per event; sent as text.
    Lines,
    /// Four bytes of length before each event, big endian; sent as binary.
    LengthPrefixed,
}

/// Response extension of a response that is a Status.
#[derive(Debug, Clone)]
pub struct SentStatus(pub Arc<Status>);

/// A response with this body.
pub fn body(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A text as Go's `http.Error` writes it, with its final newline.
pub fn error_text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = body(status, TEXT, format!("{text}\n"));
    response
        .headers_mut()
        .insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// A text with the headers that Go's server adds by default.
pub fn plain(text: impl Into<Bytes>) -> Response<Body> {
    body(StatusCode::OK, TEXT, text)
}

/// A text of a successful response, unchanged.
pub fn text(text: impl Into<Bytes>) -> Response<Body> {
    let mut response = body(StatusCode::OK, TEXT, text);
    response
        .headers_mut()
        .insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// The response for an unknown path.
pub fn not_found() -> Response<Body> {
    error_text(StatusCode::NOT_FOUND, "404 page not found")
}

/// A JSON document indented by two spaces, as kube-apiserver writes `/` and `/version`.
pub fn pretty_json(document: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec_pretty(document) {
        Ok(bytes) => body(StatusCode::OK, JSON, bytes),
        Err(err) => error_text(StatusCode::INTERNAL_SERVER_ERROR, &err.to_string()),
    }
}

/// Sets `Retry-After`, in seconds.
pub fn retry_after(mut response: Response<Body>, seconds: u32) -> Response<Body> {
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}
