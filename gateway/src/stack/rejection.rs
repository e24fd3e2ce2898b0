//! Answers of the front when a request does not get through to a handler.

use api_types::go_text::quote;
use api_types::gvk::GroupResource;
use api_types::status::ApiError;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::authz::Denied;
use crate::authz::impersonation::Rejected;
use crate::codec;
use crate::reply;
use crate::{auth, authz};

/// Why a request was not handled.
#[derive(Debug)]
pub(super) enum Rejection {
    /// The path cannot be read.
    Path(api_types::request_info::Incomplete),
    /// The server is on its way out.
    ShuttingDown,
    /// The query asks for an impossible deadline, nobody knows the caller, or the caller may not: what
    /// the caller is told, in the form that it asked for.
    Response(Response<Body>),
    /// Too many requests at once.
    Overloaded,
    /// The handler did not answer before the deadline.
    DeadlineExceeded,
    /// A handler panicked.
    Panicked,
}

impl Rejection {
    /// The query of this request asks for an impossible deadline.
    pub(super) fn timeout(request: &Request<Body>, message: String) -> Self {
        Self::from_error(request, &ApiError::bad_request(message))
    }

    /// Nobody knows who sent this request.
    pub(super) fn unauthenticated(request: &Request<Body>, err: &auth::Error) -> Self {
        tracing::debug!(%err, "unable to authenticate the request");
        Self::from_error(request, &ApiError::unauthorized("Unauthorized"))
    }

    /// Who sent this request wants to be served as somebody else.
    pub(super) fn impersonating(request: &Request<Body>, rejected: Rejected) -> Self {
        match rejected {
            Rejected::NoUser(message) => {
                Self::not_sniffed(request, &ApiError::bad_request(message))
            }
            Rejected::Denied(denied) => Self::denied(request, &denied),
        }
    }

    /// The user has no permit for this request.
    pub(super) fn unauthorized(request: &Request<Body>, rejection: authz::Rejection) -> Self {
        match rejection {
            authz::Rejection::Denied(denied) => Self::denied(request, &denied),
            authz::Rejection::Failed(error) => {
                tracing::warn!(%error, "cannot authorize the request");
                let uri = request
                    .uri()
                    .path_and_query()
                    .map_or("", |uri| uri.as_str());
                let text = format!("Internal Server Error: {}: {error}", quote(uri));
                let code = StatusCode::INTERNAL_SERVER_ERROR;
                Self::Response(reply::error_text(code, &authz::sanitized(text)))
            }
        }
    }

    fn denied(request: &Request<Body>, denied: &Denied) -> Self {
        let resource = GroupResource::new(&denied.group, &denied.resource);
        let error = ApiError::forbidden(&resource, &denied.name, &denied.sentence);
        Self::not_sniffed(request, &error)
    }

    /// An error that repeats what the client sent.
    fn not_sniffed(request: &Request<Body>, error: &ApiError) -> Self {
        let mut response = codec::error(request.headers(), request.uri(), error);
        let nosniff = HeaderName::from_static("x-content-type-options");
        let headers = response.headers_mut();
        headers.insert(nosniff, HeaderValue::from_static("nosniff"));
        Self::Response(response)
    }

    fn from_error(request: &Request<Body>, error: &ApiError) -> Self {
        Self::Response(codec::error(request.headers(), request.uri(), error))
    }

    /// The answer, in kube-apiserver's words.
    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Self::Path(err) => {
                let text = format!("failed to create RequestInfo: {err}");
                let text = format!("Internal Server Error: {text:?}");
                reply::error_text(StatusCode::INTERNAL_SERVER_ERROR, &text)
            }
            Self::ShuttingDown => {
                let error = ApiError::service_unavailable("apiserver is shutting down");
                reply::retry_after(json(&error), 1)
            }
            Self::Response(response) => response,
            Self::Overloaded => {
                let text = "Too many requests, please try again later.";
                reply::retry_after(reply::error_text(StatusCode::TOO_MANY_REQUESTS, text), 1)
            }
            Self::DeadlineExceeded => {
                let message = "request did not complete within the allotted timeout";
                json(&ApiError::timeout(message, 0))
            }
            Self::Panicked => {
                let text = "This request caused apiserver to panic. Look in the logs for details.";
                reply::error_text(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

/// A failure that is told as JSON, whatever the request asks for.
fn json(error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut json = error.status().to_json();
    json.push(b'\n');
    reply::body(code, reply::JSON, json)
}
