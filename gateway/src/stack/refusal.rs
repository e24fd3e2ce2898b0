//! Answers of the front when a request does not get through to a handler.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::auth;
use crate::authz::Denied;
use crate::reply;

/// Why a request was not handled.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The path cannot be read.
    Path(api_types::request_info::Incomplete),
    /// The server is on its way out.
    ShuttingDown,
    /// The query asks for an impossible deadline.
    Timeout(String),
    /// Nobody knows the caller.
    Unauthenticated(auth::Error),
    /// The caller may not.
    Denied(Denied),
    /// Too many requests at once.
    Overloaded,
    /// The handler did not answer before the deadline.
    Late,
    /// A handler panicked.
    Panicked,
}

impl Refusal {
    /// The answer, in kube-apiserver's words.
    pub(super) fn answer(self) -> Response<Body> {
        match self {
            Self::Path(err) => {
                let text = format!("failed to create RequestInfo: {err}");
                let text = format!("Internal Server Error: {text:?}");
                reply::error_text(StatusCode::INTERNAL_SERVER_ERROR, &text)
            }
            Self::ShuttingDown => {
                let answer = status(
                    503,
                    "ServiceUnavailable",
                    "apiserver is shutting down",
                    None,
                );
                reply::retry_after(answer, 1)
            }
            Self::Timeout(message) => status(400, "BadRequest", &message, None),
            Self::Unauthenticated(err) => {
                tracing::debug!(%err, "unable to authenticate the request");
                status(401, "Unauthorized", "Unauthorized", None)
            }
            Self::Denied(denied) => forbidden(denied),
            Self::Overloaded => {
                let text = "Too many requests, please try again later.";
                reply::retry_after(reply::error_text(StatusCode::TOO_MANY_REQUESTS, text), 1)
            }
            Self::Late => {
                let message = "Timeout: request did not complete within the allotted timeout";
                status(504, "Timeout", message, Some(Details::default()))
            }
            Self::Panicked => {
                let text = "This request caused apiserver to panic. Look in the logs for details.";
                reply::error_text(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

fn forbidden(denied: Denied) -> Response<Body> {
    let Denied {
        group,
        resource,
        name,
        sentence,
    } = denied;
    let qualified = if group.is_empty() {
        resource.clone()
    } else {
        format!("{resource}.{group}")
    };
    let message = match (resource.as_str(), name.as_str()) {
        ("", _) => format!("forbidden: {sentence}"),
        (_, "") => format!("{qualified} is forbidden: {sentence}"),
        _ => format!("{qualified} {name:?} is forbidden: {sentence}"),
    };
    let details = Details {
        name,
        group,
        kind: resource,
    };
    let mut answer = status(403, "Forbidden", &message, Some(details));
    let nosniff = HeaderName::from_static("x-content-type-options");
    answer
        .headers_mut()
        .insert(nosniff, HeaderValue::from_static("nosniff"));
    answer
}

#[derive(Serialize, Default)]
struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
}

fn status(code: u16, reason: &str, message: &str, details: Option<Details>) -> Response<Body> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Status<'a> {
        kind: &'static str,
        api_version: &'static str,
        metadata: serde_json::Map<String, serde_json::Value>,
        status: &'static str,
        message: &'a str,
        reason: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<Details>,
        code: u16,
    }
    let status = Status {
        kind: "Status",
        api_version: "v1",
        metadata: serde_json::Map::new(),
        status: "Failure",
        message,
        reason,
        details,
        code,
    };
    let mut bytes = serde_json::to_vec(&status).unwrap_or_default();
    bytes.push(b'\n');
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply::body(code, reply::JSON, bytes)
}
