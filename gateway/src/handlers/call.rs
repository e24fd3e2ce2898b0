//! One authorized request for a served resource.

use api_types::request_info::RequestInfo;
use axum::body::Body;
use http::Request;

use crate::authz::Permit;
use crate::request::Context;
use crate::resources::Served;

/// What a handler is given.
#[derive(Debug)]
#[allow(dead_code, reason = "handlers of writes read the user and the body")]
pub(crate) struct Call {
    /// Proof that the user may do this.
    pub permit: Permit,
    /// The reading of path and query.
    pub info: RequestInfo,
    /// The resource in the version asked for.
    pub served: Served,
    /// Deadline, warnings, audit id.
    pub context: Context,
    /// Method, URI and headers as they came.
    pub head: http::request::Parts,
    /// What is to be read, once.
    pub body: Body,
}

impl Call {
    /// Takes a request apart.
    pub(super) fn new(
        permit: Permit,
        info: RequestInfo,
        served: Served,
        request: Request<Body>,
    ) -> Self {
        let (head, body) = request.into_parts();
        Self {
            permit,
            info,
            served,
            context: Context::of(&head.extensions),
            head,
            body,
        }
    }
}
