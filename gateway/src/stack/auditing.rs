//! Audit of the steps of the chain.

use axum::body::Body;
use http::Response;
use tokio::time::Instant;

use crate::audit::Trail;
use crate::authz::{Permit, Rejection};
use crate::request::Annotations;

/// Annotations of the authorization: `pkg/endpoints/filters/authorization.go` of
/// `k8s.io/apiserver`.
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

/// Records a response of an audited request.
pub(super) async fn respond(
    trail: &mut Option<Trail>,
    response: Response<Body>,
    long_running: bool,
    deadline: Instant,
) -> Response<Body> {
    match trail {
        Some(trail) => trail.respond(response, long_running, deadline).await,
        None => response,
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
