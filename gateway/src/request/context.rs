//! The facts of one request that do not come from its path.

use http::HeaderValue;
use tokio::time::Instant;

use super::{Warnings, deadline};

/// Bytes of an `Audit-ID` that logs show. Clients choose it; an identifier has 36.
const SHOWN: usize = 64;

/// Goes from the stack to the handler; cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// The request's `Audit-ID`, or one made for it.
    pub audit_id: HeaderValue,
    /// When the head of the request had been read.
    pub received: Instant,
    /// When the answer must be complete; `None` for long-running requests (watches), which end by
    /// their own rules.
    pub deadline: Option<Instant>,
    /// The number of its connection; writes of connections take turns.
    pub connection: u64,
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
            connection: 0,
            warnings: Warnings::new(),
        }
    }

    /// The `Audit-ID` as logs show it: empty if it is not visible ASCII.
    pub fn shown_id(&self) -> &str {
        let id = self.audit_id.to_str().unwrap_or_default();
        &id[..id.len().min(SHOWN)]
    }

    /// When create, update, patch and delete of one object give up: the request's deadline, and
    /// never later than [`deadline::WRITE_TIMEOUT`] after the request came.
    pub fn write_deadline(&self) -> Instant {
        let cap = self.received + deadline::WRITE_TIMEOUT;
        self.deadline.map_or(cap, |deadline| deadline.min(cap))
    }
}
