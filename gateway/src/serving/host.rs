//! The `Host` header of HTTP/1.1 requests, judged as Go's server judges it.

use axum::body::Body;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use crate::reply;

/// Bytes besides letters and digits that a host may have: RFC 3986's, as in Go's
/// `httpguts.ValidHostHeader`.
const PUNCTUATION: &[u8] = b"!$%&()*+,-.:;=['\\]_~";

/// The response to a request whose host is missing, given twice or malformed; the connection ends with
/// it, because what comes behind may belong to somebody else.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.version() > Version::HTTP_11 {
        return None;
    }
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let text = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => return None,
        (None, _) if request.method() == Method::CONNECT => return None,
        (None, _) => "400 Bad Request: missing required Host header",
        (Some(_), Some(_)) => "400 Bad Request",
        (Some(host), None) if is_valid(host) => return None,
        (Some(_), None) => "400 Bad Request: malformed Host header",
    };
    let mut response = reply::plain(text);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    // Go repeats the text in the status line.
    if let Some(reason) = text.strip_prefix("400 ") {
        response
            .extensions_mut()
            .insert(ReasonPhrase::from_static(reason.as_bytes()));
    }
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

fn is_valid(host: &HeaderValue) -> bool {
    let mut bytes = host.as_bytes().iter();
    bytes.all(|byte| byte.is_ascii_alphanumeric() || PUNCTUATION.contains(byte))
}
