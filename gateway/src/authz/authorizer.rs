//! One way to decide.

use std::fmt;
use std::sync::Arc;

use api_types::request_info::RequestInfo;
use async_trait::async_trait;

use crate::request::User;

/// What is decided about.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a Arc<User>,
    /// For what.
    pub info: &'a RequestInfo,
}

/// What an authorizer decides, in the sense of `authorizer.Decision` of `k8s.io/apiserver`.
///
/// A conditional decision (KEP-5681) would be one more variant. Only [`Decision::Allow`] gives a
/// permit, so it denies until conditions are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The user may; no other authorizer is asked.
    Allow,
    /// The user may not; no other authorizer is asked.
    Deny,
    /// The next authorizer decides.
    NoOpinion,
}

/// A decision with its reason, and an error that was met on the way.
#[derive(Debug)]
pub struct Verdict {
    /// What was decided.
    pub decision: Decision,
    /// Why; repeated to the client after kube-apiserver's sentence. May be empty.
    pub reason: String,
    /// What failed. A decision that allows stands in spite of it.
    pub error: Option<Error>,
}

/// An authorizer could not decide.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// One way to decide, in the sense of `authorizer.Authorizer` of `k8s.io/apiserver`.
#[async_trait]
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// Decides about one request.
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict;
}

// === impl Verdict ===

impl Verdict {
    /// A decision that needs no reason.
    #[must_use]
    pub const fn of(decision: Decision) -> Self {
        Self {
            decision,
            reason: String::new(),
            error: None,
        }
    }

    /// [`Decision::Allow`] if it is true, else [`Decision::NoOpinion`].
    #[must_use]
    pub const fn allow_if(allowed: bool) -> Self {
        Self::of(if allowed {
            Decision::Allow
        } else {
            Decision::NoOpinion
        })
    }
}
