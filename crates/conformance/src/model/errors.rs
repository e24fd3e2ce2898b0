//! Errors of the model as the protocol requires: typed, with their outcome.

use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::{Outcome, Reason};

pub(super) fn refuse(reason: Reason, message: impl Into<String>) -> BackendError {
    BackendError {
        reason: reason.into(),
        // The outcome is always known in memory. A driver whose commit can fail halfway must return
        // UNKNOWN.
        outcome: Outcome::NotApplied.into(),
        message: message.into(),
        ..BackendError::default()
    }
}

pub(super) fn invalid(message: &str) -> BackendError {
    refuse(Reason::Invalid, message)
}

pub(super) fn not_ready(message: impl Into<String>) -> BackendError {
    BackendError {
        retry_after_ms: 1000,
        ..refuse(Reason::NotReady, message)
    }
}

pub(super) fn compacted(compact_revision: i64) -> BackendError {
    BackendError {
        compact_revision,
        ..refuse(
            Reason::Compacted,
            format!("history up to revision {compact_revision} is gone"),
        )
    }
}

pub(super) fn future(asked: i64, current_revision: i64) -> BackendError {
    BackendError {
        current_revision,
        ..refuse(
            Reason::FutureRevision,
            format!("revision {asked} is above the current revision {current_revision}"),
        )
    }
}
