//! Conversion between [`BackendError`] and gRPC status.
//!
//! The typed error is one `google.protobuf.Any` in the `google.rpc.Status` of the
//! `grpc-status-details-bin` trailer.

use prost::Message as _;
use tonic::{Code, Status};

pub use crate::v1::BackendError;
pub use crate::v1::backend_error::{Outcome, Reason};

/// Type URL of the detail.
const TYPE_URL: &str = "type.googleapis.com/ark.backend.v1.BackendError";

/// Returns the gRPC code of a reason (the table in the `.proto`).
#[must_use]
pub const fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::Compacted | Reason::FutureRevision => Code::OutOfRange,
        Reason::EpochChanged => Code::FailedPrecondition,
        Reason::Overloaded | Reason::NoSpace => Code::ResourceExhausted,
        Reason::TooLarge | Reason::Invalid => Code::InvalidArgument,
        Reason::NotReady => Code::Unavailable,
        Reason::Corrupt => Code::DataLoss,
        Reason::Unimplemented => Code::Unimplemented,
        Reason::Deadline => Code::DeadlineExceeded,
        Reason::TooSlow => Code::Aborted,
        Reason::Internal | Reason::Unspecified => Code::Internal,
    }
}

/// Wraps a typed error into a status.
#[must_use]
pub fn to_status(error: &BackendError) -> Status {
    let code = code_of(error.reason());
    let any = prost_types::Any {
        type_url: TYPE_URL.to_owned(),
        value: error.encode_to_vec(),
    };
    let details = tonic_types::pb::Status {
        code: code as i32,
        message: error.message.clone(),
        details: vec![any],
    };
    Status::with_details(code, error.message.clone(), details.encode_to_vec().into())
}

/// Returns the typed error of a status, if it carries one.
///
/// A status without it comes from the transport or from another program; the caller must interpret
/// the bare code.
#[must_use]
pub fn from_status(status: &Status) -> Option<BackendError> {
    let details = tonic_types::pb::Status::decode(status.details()).ok()?;
    let any = details
        .details
        .iter()
        .find(|any| any.type_url == TYPE_URL)?;
    BackendError::decode(any.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::{BackendError, Outcome, Reason, code_of, from_status, to_status};

    #[test]
    fn typed_errors_round_trip_through_status() {
        let error = BackendError {
            reason: Reason::Compacted.into(),
            outcome: Outcome::NotApplied.into(),
            compact_revision: 42,
            message: "history before 42 is gone".to_owned(),
            ..BackendError::default()
        };
        let status = to_status(&error);
        assert_eq!(status.code(), code_of(Reason::Compacted));
        assert_eq!(from_status(&status), Some(error));
    }

    #[test]
    fn foreign_status_has_no_typed_error() {
        assert_eq!(
            from_status(&tonic::Status::unavailable("connection refused")),
            None
        );
    }
}
