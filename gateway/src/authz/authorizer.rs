//! The interface of authorizers.

use std::fmt;
use std::sync::Arc;

use api_types::request_info::RequestInfo;
use async_trait::async_trait;

use crate::request::User;

/// Attributes of the request to authorize.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// The user who sent the request.
    pub user: &'a Arc<User>,
    /// The parsed request.
    pub info: &'a RequestInfo,
    /// The query of the request, for its selectors.
    pub query: Option<&'a str>,
}

/// Decision of an authorizer, as `authorizer.Decision` of `k8s.io/apiserver`.
///
/// A conditional decision (KEP-5681) would be another variant. Only [`Decision::Allow`] yields a
/// permit, so such a variant denies until conditions are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed; no further authorizer is called.
    Allow,
    /// Denied; no further authorizer is called.
    Deny,
    /// The next authorizer decides.
    NoOpinion,
}

/// A decision with its reason, and an error that occurred on the way.
#[derive(Debug)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Reason, appended to kube-apiserver's message for the client. May be empty.
    pub reason: String,
    /// What failed. An allowing decision is valid despite an error.
    pub error: Option<Error>,
}

/// An authorizer could not decide.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// One authorizer, as `authorizer.Authorizer` of `k8s.io/apiserver`.
#[async_trait]
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// Authorizes one request.
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict;
}

// === impl Verdict ===

impl Verdict {
    /// A decision without a reason.
    #[must_use]
    pub const fn of(decision: Decision) -> Self {
        Self {
            decision,
            reason: String::new(),
            error: None,
        }
    }

    /// [`Decision::Allow`] if `allowed`, else [`Decision::NoOpinion`].
    #[must_use]
    pub const fn allow_if(allowed: bool) -> Self {
        Self::of(if allowed {
            Decision::Allow
        } else {
            Decision::NoOpinion
        })
    }
}
