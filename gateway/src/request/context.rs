//! Properties of one request that are not part of its path.

use http::HeaderValue;
use tokio::time::Instant;

use super::{Annotations, Recording, Warnings, deadline};
use crate::telemetry::trace;

/// Bytes of an `Audit-ID` that are logged: clients choose it, and generated ones have 36.
const SHOWN: usize = 64;

/// Passed from the stack to the handler; cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// The `Audit-ID` of the request, or a generated one.
    pub audit_id: HeaderValue,
    /// When the head of the request had been read.
    pub received: Instant,
    /// Deadline of the complete response; `None` for long-running requests (watches), which have
    /// timeouts of their own.
    pub deadline: Option<Instant>,
    /// Number of the connection, by which batched writes take turns.
    pub connection: u64,
    /// Collects warnings for the client.
    pub warnings: Warnings,
    /// Collects annotations for the audit event.
    pub annotations: Annotations,
    /// Collects the body for the audit event.
    pub recording: Recording,
    /// The span of the request; `None` if it is not sampled.
    pub span: Option<trace::Parent>,
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
            annotations: Annotations::new(),
            recording: Recording::default(),
            span: None,
        }
    }

    /// The `Audit-ID` for logs: empty if it is not visible ASCII.
    pub fn shown_id(&self) -> &str {
        let id = self.audit_id.to_str().unwrap_or_default();
        &id[..id.len().min(SHOWN)]
    }

    /// Deadline of a create, update, patch or delete of one object: the deadline of the request, at
    /// most [`deadline::WRITE_TIMEOUT`] after its arrival.
    pub fn write_deadline(&self) -> Instant {
        let cap = self.received + deadline::WRITE_TIMEOUT;
        self.deadline.map_or(cap, |deadline| deadline.min(cap))
    }
}
