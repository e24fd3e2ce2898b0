//! The audit ID, which identifies a request in the logs of both sides.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the audit ID, in requests and responses.
pub(crate) const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The client's `Audit-ID`, or a generated one.
pub(crate) fn id_of(headers: &HeaderMap) -> HeaderValue {
    if let Some(given) = headers.get(AUDIT_ID).filter(|id| !id.is_empty()) {
        return given.clone();
    }
    // The thread-local generator, because the ID needs no system call and no secrecy.
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut buffer = uuid::Uuid::encode_buffer();
    let text: &str = id.hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
