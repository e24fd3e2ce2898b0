//! The facts of one request that do not come from its path.

use http::{Extensions, HeaderValue};
use tokio::time::Instant;

use super::{Warnings, deadline};

/// Travels in the request's extensions from the stack to the handler; cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// The request's `Audit-ID`, or one made for it.
    pub audit_id: HeaderValue,
    /// When the head of the request had been read.
    pub received: Instant,
    /// When the answer must be complete; `None` for long-running requests (watches), which end by
    /// their own rules.
    pub deadline: Option<Instant>,
    /// Where any layer leaves warnings for the client.
    pub warnings: Warnings,
}

impl Context {
    /// A context for a request received now.
    pub fn new(audit_id: HeaderValue, deadline: Option<Instant>) -> Self {
        Self {
            audit_id,
            received: Instant::now(),
            deadline,
            warnings: Warnings::new(),
        }
    }

    /// The context the stack left in `extensions`; requests that did not come through the stack
    /// (tests of single layers) get an empty one with the default deadline.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(|| {
            let audit_id = HeaderValue::from_static("");
            Self::new(audit_id, Some(Instant::now() + deadline::REQUEST_TIMEOUT))
        })
    }

    /// When create, update, patch and delete of one object give up: the request's deadline, and
    /// never later than [`deadline::WRITE_TIMEOUT`] after the request came.
    pub fn write_deadline(&self) -> Instant {
        let cap = self.received + deadline::WRITE_TIMEOUT;
        self.deadline.map_or(cap, |deadline| deadline.min(cap))
    }
}
