//! Audit of the steps of the chain.

use axum::body::Body;
use http::Response;
use tokio::time::Instant;

use super::spans;
use crate::audit::Trail;
use crate::authz::{Permit, Rejection};
use crate::request::Annotations;
use crate::telemetry::trace::Span;

/// Annotations of the authorization: `pkg/endpoints/filters/authorization.go` of
/// `k8s.io/apiserver`.
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

/// What is recorded of a request besides metrics. Both end when dropped.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) trail: Option<Trail>,
    pub(super) span: Option<Span>,
}

impl Records {
    /// Records a response.
    pub(super) async fn respond(
        &mut self,
        response: Response<Body>,
        long_running: bool,
        deadline: Instant,
    ) -> Response<Body> {
        if let Some(span) = &mut self.span {
            spans::respond(span, response.status());
        }
        match &mut self.trail {
            Some(trail) => trail.respond(response, long_running, deadline).await,
            None => response,
        }
    }
}

/// Annotates the result of the authorization.
pub(super) fn annotate(annotations: &Annotations, result: &Result<Permit, Rejection>) {
    let decision = match result {
        Ok(permit) => Some(("allow", permit.reason())),
        Err(Rejection::Denied(denied)) => Some(("forbid", &*denied.reason)),
        Err(Rejection::Failed(_)) => None,
    };
    match decision {
        Some((decision, reason)) => {
            annotations.add(DECISION, decision);
            annotations.add(REASON, reason);
        }
        None => {
            annotations.add(REASON, "internal error");
        }
    }
}
