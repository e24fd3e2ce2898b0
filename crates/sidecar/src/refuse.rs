//! Errors that the kit itself returns.

use backend_proto::error::to_status;
use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::{Outcome, Reason};
use tonic::Status;

/// A rejection after which nothing was stored.
pub(crate) fn error(reason: Reason, message: impl Into<String>) -> BackendError {
    BackendError {
        reason: reason.into(),
        outcome: Outcome::NotApplied.into(),
        message: message.into(),
        ..BackendError::default()
    }
}

pub(crate) fn invalid(message: &str) -> BackendError {
    error(Reason::Invalid, message)
}

pub(crate) fn unimplemented(message: &str) -> BackendError {
    error(Reason::Unimplemented, message)
}

pub(crate) fn not_ready(message: impl Into<String>) -> BackendError {
    BackendError {
        retry_after_ms: 1000,
        ..error(Reason::NotReady, message)
    }
}

pub(crate) fn overloaded(message: &str) -> BackendError {
    BackendError {
        retry_after_ms: 1000,
        ..error(Reason::Overloaded, message)
    }
}

pub(crate) fn closing() -> BackendError {
    error(Reason::NotReady, "the driver is shutting down")
}

/// Error of a write whose outcome is unknown.
pub(crate) fn lost() -> BackendError {
    BackendError {
        outcome: Outcome::Unknown.into(),
        ..error(Reason::NotReady, "the driver ended before it answered")
    }
}

pub(crate) fn compacted(compact_revision: i64) -> BackendError {
    BackendError {
        compact_revision,
        ..error(
            Reason::Compacted,
            format!("history up to revision {compact_revision} is gone"),
        )
    }
}

pub(crate) fn future(asked: i64, current_revision: i64) -> BackendError {
    BackendError {
        current_revision,
        ..error(
            Reason::FutureRevision,
            format!("revision {asked} is above the current revision {current_revision}"),
        )
    }
}

pub(crate) fn epoch_changed() -> BackendError {
    error(
        Reason::EpochChanged,
        "the store began a new epoch: list again",
    )
}

pub(crate) fn too_slow() -> BackendError {
    error(
        Reason::TooSlow,
        "the reader took nothing for too long and was cut",
    )
}

pub(crate) fn status(error: &BackendError) -> Status {
    to_status(error)
}
