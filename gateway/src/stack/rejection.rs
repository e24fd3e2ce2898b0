//! Responses to requests that are rejected before a handler.

use api_types::go_text::quote;
use api_types::gvk::GroupResource;
use api_types::status::ApiError;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::audit::NotStored;
use crate::authz::Denied;
use crate::authz::impersonation::Rejected;
use crate::codec;
use crate::reply::{self, Layout};
use crate::serving::limits::{Overloaded, Shortage};
use crate::{auth, authz};

/// Why a request was rejected.
#[derive(Debug)]
pub(super) enum Rejection {
    /// The path cannot be parsed.
    Path(api_types::request_info::Incomplete),
    /// The server is shutting down.
    ShuttingDown,
    /// An invalid timeout, or failed authentication or authorization: the response, in the
    /// negotiated representation.
    Response(Response<Body>),
    /// A limit is reached.
    Overloaded(Shortage),
    /// The handler did not respond before the deadline.
    DeadlineExceeded,
    /// The handler panicked.
    Panicked,
}

impl From<Overloaded> for Rejection {
    fn from(Overloaded(shortage): Overloaded) -> Self {
        Self::Overloaded(shortage)
    }
}

impl Rejection {
    /// Rejects an invalid `timeout` in the query.
    pub(super) fn timeout(request: &Request<Body>, message: String) -> Self {
        Self::from_error(request, &ApiError::bad_request(message))
    }

    /// Rejects a request that could not be authenticated.
    pub(super) fn unauthenticated(request: &Request<Body>, err: &auth::Error) -> Self {
        tracing::debug!(%err, "cannot authenticate request");
        Self::from_error(request, &ApiError::unauthorized("Unauthorized"))
    }

    /// Rejects a request with impersonation headers.
    pub(super) fn impersonating(request: &Request<Body>, rejected: Rejected) -> Self {
        match rejected {
            Rejected::NoUser(message) => {
                Self::not_sniffed(request, &ApiError::bad_request(message))
            }
            Rejected::Denied(denied) => Self::denied(request, &denied),
        }
    }

    /// Rejects a request without a permit.
    pub(super) fn unauthorized(request: &Request<Body>, rejection: authz::Rejection) -> Self {
        match rejection {
            authz::Rejection::Denied(denied) => Self::denied(request, &denied),
            authz::Rejection::Failed(error) => {
                tracing::warn!(%error, "cannot authorize request");
                Self::internal(request, &error)
            }
        }
    }

    /// An error of the chain itself, as kube-apiserver writes it.
    fn internal(request: &Request<Body>, error: &dyn std::fmt::Display) -> Self {
        let uri = request.uri().path_and_query();
        let uri = quote(uri.map_or("", |uri| uri.as_str()));
        let text = format!("Internal Server Error: {uri}: {error}");
        let code = StatusCode::INTERNAL_SERVER_ERROR;
        Self::Response(reply::error_text(code, &authz::sanitized(text)))
    }

    /// Rejects a request whose audit event could not be stored.
    pub(super) fn not_stored(request: &Request<Body>, error: &NotStored) -> Self {
        Self::internal(request, error)
    }

    fn denied(request: &Request<Body>, denied: &Denied) -> Self {
        let resource = GroupResource::new(&denied.group, &denied.resource);
        let error = ApiError::forbidden(&resource, &denied.name, &denied.sentence);
        Self::not_sniffed(request, &error)
    }

    /// An error that quotes client input, protected against content sniffing.
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

    /// The response, with kube-apiserver's text.
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
            Self::Overloaded(shortage) => {
                let text = "Too many requests, please try again later.";
                let mut response = reply::error_text(StatusCode::TOO_MANY_REQUESTS, text);
                response.extensions_mut().insert(shortage);
                reply::retry_after(response, 1)
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

/// An error that is always JSON, regardless of negotiation.
fn json(error: &ApiError) -> Response<Body> {
    reply::status(error.status(), Layout::Line)
}
