//! The identifier a request is known by in logs on both sides.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, in requests and answers.
pub(crate) const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The client's `Audit-ID`, or a fresh one.
pub(crate) fn id_of(headers: &HeaderMap) -> HeaderValue {
    if let Some(given) = headers.get(AUDIT_ID).filter(|id| !id.is_empty()) {
        return given.clone();
    }
    // The thread's generator: an identifier needs no system call.
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut buffer = uuid::Uuid::encode_buffer();
    let text: &str = id.hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
