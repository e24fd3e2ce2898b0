//! The response of a webhook, within limits.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::connection::Open;
use super::failure::CallFailure;

/// Bytes of a response. A patch that replaces the largest object has 4 MiB in base64;
/// kube-apiserver has no limit.
const MAX_RESPONSE: usize = 8 << 20;
/// Bytes of a response that is read without a permit. Larger ones take turns, so that all responses
/// together are bounded.
pub(super) const SMALL: usize = 64 << 10;

/// A complete response.
pub(super) struct Read {
    pub(super) code: StatusCode,
    /// Of a redirect.
    pub(super) location: Option<String>,
    is_text: bool,
    body: Bytes,
}

/// Reads a response.
pub(super) async fn read(
    open: &mut Open,
    head: http::Response<Incoming>,
    large: &Semaphore,
) -> Result<Read, CallFailure> {
    let (head, mut incoming) = head.into_parts();
    let mut permit = None;
    let mut body = BytesMut::new();
    while let Some(frame) = open.while_driven(incoming.frame()).await {
        let frame = frame.map_err(|error| CallFailure::Body(CallFailure::http_text(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if body.len() + data.len() > MAX_RESPONSE {
            let text = format!("the response has more than {MAX_RESPONSE} bytes");
            return Err(CallFailure::Body(text));
        }
        if body.len() + data.len() > SMALL && permit.is_none() {
            permit = large.acquire().await.ok();
        }
        body.extend_from_slice(&data);
    }
    let content_type = head.headers.get(CONTENT_TYPE);
    let location = head.headers.get(LOCATION);
    Ok(Read {
        code: head.status,
        location: location.and_then(|it| it.to_str().ok()).map(str::to_owned),
        is_text: content_type.is_none_or(|it| it.as_bytes().starts_with(b"text/")),
        body: body.freeze(),
    })
}

impl Read {
    /// The body of a successful response.
    pub(super) fn body(self) -> Result<Bytes, CallFailure> {
        // As client-go: 206 is the last code of success.
        if !(200..=206).contains(&self.code.as_u16()) {
            return Err(self.failure());
        }
        if self.body.is_empty() {
            let code = self.code.as_u16();
            let text = format!(
                "0-length response with status code: {code} and content type: application/json"
            );
            return Err(CallFailure::Answer(text));
        }
        Ok(self.body)
    }

    fn failure(&self) -> CallFailure {
        let message = if self.is_text {
            let text = &self.body[..self.body.len().min(2048)];
            String::from_utf8_lossy(text).trim().to_owned()
        } else {
            "unknown".to_owned()
        };
        CallFailure::of_code(self.code.as_u16(), message)
    }
}
