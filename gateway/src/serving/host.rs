//! Validates the headers `Host` and `Transfer-Encoding` of HTTP/1.1 requests as Go's server does.

use axum::body::Body;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use crate::reply;

/// Bytes besides letters and digits that a host may contain: those of RFC 3986, as in Go's
/// `httpguts.ValidHostHeader`.
const PUNCTUATION: &[u8] = b"!$%&()*+,-.:;=['\\]_~";

/// The response to a request with a missing, duplicate or malformed host, or an unsupported
/// transfer encoding. The connection closes after it, because the start of the next request is
/// uncertain (request smuggling).
pub(super) fn rejection<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.version() > Version::HTTP_11 {
        return None;
    }
    if !is_chunked_only(request.headers()) {
        let mut response = reply::plain("Unsupported transfer encoding");
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        return Some(closing(response));
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
    Some(closing(response))
}

/// Adds `Connection: close`.
fn closing(mut response: Response<Body>) -> Response<Body> {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// Whether the body is unencoded or only chunked: Go's server supports no other encoding.
fn is_chunked_only(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).into_iter();
    let Some(encoding) = encodings.next() else {
        return true;
    };
    encodings.next().is_none() && encoding.as_bytes().eq_ignore_ascii_case(b"chunked")
}

fn is_valid(host: &HeaderValue) -> bool {
    let mut bytes = host.as_bytes().iter();
    bytes.all(|byte| byte.is_ascii_alphanumeric() || PUNCTUATION.contains(byte))
}
