//! Errors with kube-apiserver's messages.

use std::fmt;

use kube_json::ParseError;

use super::invalid::ShownErrors;
use super::{Cause, Details, Reason, Status};
use crate::go_text::quote;
use crate::gvk::{GroupKind, GroupResource};
use crate::{field, go_text};

/// Limit of a message, in bytes. kube-apiserver quotes whole bodies in some messages; the limit
/// keeps a response within a small multiple of the request.
const MAX_MESSAGE_BYTES: usize = 512 << 10;

/// An error as the client receives it.
///
/// Boxed, so that a `Result` of it stays small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(Box<Status>);

impl ApiError {
    /// 404: `foos.group "name" not found`.
    #[must_use]
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} not found", quote(name));
        Self::about(Reason::NotFound, resource, name, message)
    }

    /// 409: `foos.group "name" already exists`.
    #[must_use]
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} already exists", quote(name));
        Self::about(Reason::AlreadyExists, resource, name, message)
    }

    /// 409: every generated name of a `generateName` exists.
    #[must_use]
    pub fn generate_name_conflict(resource: &GroupResource, name: &str, retry: u32) -> Self {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for \
             the object",
            quote(name)
        );
        Self::about(Reason::AlreadyExists, resource, name, message).with_retry_after(retry)
    }

    /// 409: `Operation cannot be fulfilled on foos.group "name": error`.
    #[must_use]
    pub fn conflict(resource: &GroupResource, name: &str, error: impl fmt::Display) -> Self {
        let name_shown = quote(name);
        let message = format!("Operation cannot be fulfilled on {resource} {name_shown}: {error}");
        Self::about(Reason::Conflict, resource, name, message)
    }

    /// 422: `Foo.group "name" is invalid: …`, with one cause per error, repetitions included.
    /// States if not all errors fit into [`MAX_ERROR_BYTES`](super::MAX_ERROR_BYTES).
    #[must_use]
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[field::Error]) -> Self {
        let mut message = format!("{kind} {} is invalid", quote(name));
        let ShownErrors { text, causes } = ShownErrors::of(errors);
        if !text.is_empty() {
            message.push_str(": ");
            message.push_str(&text);
        }
        let details = Details {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes,
            ..Details::default()
        };
        Self::uncut(Reason::Invalid, message).with_details(details)
    }

    /// 403: `foos.group "name" is forbidden: error`; name and resource may be empty.
    #[must_use]
    pub fn forbidden(resource: &GroupResource, name: &str, error: impl fmt::Display) -> Self {
        let message = if resource.is_empty() {
            format!("forbidden: {error}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {error}")
        } else {
            format!("{resource} {} is forbidden: {error}", quote(name))
        };
        Self::about(Reason::Forbidden, resource, name, message)
    }

    /// 400 with this message.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// 401; an empty message becomes `not authorized`.
    #[must_use]
    pub fn unauthorized(message: &str) -> Self {
        let empty = message.is_empty();
        Self::new(
            Reason::Unauthorized,
            if empty { "not authorized" } else { message },
        )
    }

    /// 405: `verb is not supported on resources of kind "foos.group"`.
    #[must_use]
    pub fn method_not_supported(resource: &GroupResource, verb: &str) -> Self {
        let shown = quote(&resource.to_string());
        let message = format!("{verb} is not supported on resources of kind {shown}");
        Self::about(Reason::MethodNotAllowed, resource, "", message)
    }

    /// 413: `Request entity too large: message`.
    #[must_use]
    pub fn too_large(message: impl fmt::Display) -> Self {
        let message = format!("Request entity too large: {message}");
        Self::new(Reason::RequestEntityTooLarge, message)
    }

    /// For a document that cannot be parsed: 413 if its tree needs too much memory, otherwise the
    /// result of `malformed` for the reason.
    #[must_use]
    pub fn unparsed(error: ParseError, malformed: impl FnOnce(String) -> Self) -> Self {
        match error {
            ParseError::Syntax(reason) => malformed(reason),
            error @ ParseError::TooLarge { .. } => Self::too_large(error),
        }
    }

    /// 500: `Internal error occurred: error`, with the error as the only cause.
    #[must_use]
    pub fn internal(error: impl fmt::Display) -> Self {
        let error = go_text::cut(error.to_string(), MAX_MESSAGE_BYTES);
        let message = format!("Internal error occurred: {error}");
        Self::new(Reason::InternalError, message).with_details(Details {
            causes: vec![Cause {
                message: error,
                ..Cause::default()
            }],
            ..Details::default()
        })
    }

    /// 500 without reason or details, kube-apiserver's response to an unclassified error.
    #[must_use]
    pub fn internal_plain(message: impl Into<String>) -> Self {
        Self::unclassified(500, message)
    }

    /// Any code without reason or details.
    #[must_use]
    pub fn unclassified(code: u16, message: impl Into<String>) -> Self {
        Self(Box::new(Status {
            message: go_text::cut(message.into(), MAX_MESSAGE_BYTES),
            code,
            ..Status::default()
        }))
    }

    /// 504: `Timeout: message`; `retry` in seconds.
    #[must_use]
    pub fn timeout(message: impl fmt::Display, retry: u32) -> Self {
        Self::new(Reason::Timeout, format!("Timeout: {message}"))
            .with_details(Details::default())
            .with_retry_after(retry)
    }

    /// 504: the store has not reached the requested revision yet.
    #[must_use]
    pub fn too_large_resource_version(asked: u64, current: u64, retry: u32) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::timeout(message, retry).with_cause(Cause {
            reason: String::from("ResourceVersionTooLarge"),
            message: String::from("Too large resource version"),
            field: String::new(),
        })
    }

    /// 500: the operation could not be completed now; `retry` in seconds.
    #[must_use]
    pub fn server_timeout(resource: &GroupResource, operation: &str, retry: u32) -> Self {
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, \
             please try again."
        );
        Self::about(Reason::ServerTimeout, resource, operation, message).with_retry_after(retry)
    }

    /// 429 with this message; `retry` in seconds.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry: u32) -> Self {
        Self::new(Reason::TooManyRequests, message)
            .with_details(Details::default())
            .with_retry_after(retry)
    }

    /// 410: the requested revision is compacted.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    /// 503 with this message.
    #[must_use]
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(Reason::ServiceUnavailable, message)
    }

    /// 406, with the supported media types of responses.
    #[must_use]
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        Self::new(
            Reason::NotAcceptable,
            format!(
                "only the following media types are accepted: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 415, with the supported media types of bodies.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::new(
            Reason::UnsupportedMediaType,
            format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 {}",
                accepted.join(", ")
            ),
        )
    }

    /// An error with the code of its reason. A message above the limit is truncated.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self::uncut(reason, go_text::cut(message.into(), MAX_MESSAGE_BYTES))
    }

    fn uncut(reason: Reason, message: String) -> Self {
        Self(Box::new(Status {
            message,
            reason: Some(reason),
            code: reason.code(),
            ..Status::default()
        }))
    }

    /// Sets the details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.details_mut().causes.push(cause);
        self
    }

    /// Sets the number of seconds after which to retry.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details_mut().retry_after_seconds = seconds;
        self
    }

    /// Sets the token that continues the list inconsistently.
    #[must_use]
    pub fn with_continue(mut self, token: impl Into<String>) -> Self {
        self.0.continue_token = token.into();
        self
    }

    /// The HTTP code; 500 if the Status has none.
    #[must_use]
    pub const fn code(&self) -> u16 {
        if self.0.code == 0 { 500 } else { self.0.code }
    }

    /// Seconds for the `Retry-After` header.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        let details = self.0.details.as_ref()?;
        Some(details.retry_after_seconds).filter(|&seconds| seconds > 0)
    }

    /// The reason, if the error was classified.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        self.0.reason
    }

    /// The Status.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.0
    }

    /// Converts into the Status.
    #[must_use]
    pub fn into_status(self) -> Status {
        *self.0
    }

    fn about(reason: Reason, resource: &GroupResource, name: &str, message: String) -> Self {
        Self::new(reason, message).with_details(Details {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..Details::default()
        })
    }

    fn details_mut(&mut self) -> &mut Details {
        self.0.details.get_or_insert_default()
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        Self(Box::new(status))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}
