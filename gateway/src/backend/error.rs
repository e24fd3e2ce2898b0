//! Errors of calls.

use std::time::Duration;

use backend_proto::error as wire;
use tonic::{Code, Status};

/// Largest message of a driver, bytes: logs and the responses of all waiting clients repeat it.
const MESSAGE_BYTES: usize = 1024;
/// Largest `Retry-After` that a driver can request.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The kind of error.
    pub reason: Reason,
    /// The outcome of the writes of the call.
    pub outcome: Outcome,
    /// When to retry, if the backend set it.
    pub retry_after: Option<Duration>,
    /// One sentence for an operator.
    pub message: String,
}

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The revision is below the compact revision.
    Compacted,
    /// The revision does not exist yet.
    FutureRevision,
    /// Commits may be missing: drop the caches, and describe the driver again.
    EpochChanged,
    /// A limit was reached; retry later.
    Overloaded,
    /// Disk or quota is full.
    NoSpace,
    /// Above a limit of the driver.
    TooLarge,
    /// The driver is starting, is a standby, or has lost its database.
    NotReady,
    /// The store is retired: another server serves its objects.
    Retired,
    /// The driver cannot be reached, or the connection broke.
    Unreachable,
    /// Stored data failed its checksum.
    Corrupt,
    /// The watch fell behind and was ended.
    TooSlow,
    /// No response before the deadline.
    Deadline,
    /// The driver does not implement the call.
    Unimplemented,
    /// The response has a lower epoch or revision than an earlier one: another or a restored store.
    Regressed,
    /// The driver and this program are incompatible; see the message.
    Incompatible,
    /// The response violates the protocol: a bug of the driver.
    Broken,
    /// A bug of the driver or of this program.
    Internal,
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was stored.
    NotApplied,
    /// It may have been stored; retry with the same op id.
    Unknown,
}

impl Error {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        let outcome = Outcome::NotApplied;
        Self {
            reason,
            outcome,
            retry_after: None,
            message: message.into(),
        }
    }

    /// The store is retired.
    pub(crate) fn retired(reason: &str) -> Self {
        let message = format!("the objects of this server have moved: {reason}");
        Self::new(Reason::Retired, Self::bounded(message))
    }

    /// The driver is incompatible.
    pub(super) fn incompatible(message: impl Into<String>) -> Self {
        Self::new(Reason::Incompatible, message)
    }

    /// A message of bounded length.
    fn bounded(mut message: String) -> String {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        message
    }

    /// The error in the details of a response.
    pub(super) fn from_wire(error: wire::BackendError) -> Self {
        let reason = match error.reason() {
            wire::Reason::Compacted => Reason::Compacted,
            wire::Reason::FutureRevision => Reason::FutureRevision,
            wire::Reason::EpochChanged => Reason::EpochChanged,
            wire::Reason::Overloaded => Reason::Overloaded,
            wire::Reason::NoSpace => Reason::NoSpace,
            wire::Reason::TooLarge => Reason::TooLarge,
            wire::Reason::NotReady => Reason::NotReady,
            wire::Reason::Corrupt => Reason::Corrupt,
            wire::Reason::Unimplemented => Reason::Unimplemented,
            wire::Reason::Deadline => Reason::Deadline,
            wire::Reason::TooSlow => Reason::TooSlow,
            wire::Reason::Invalid | wire::Reason::Internal | wire::Reason::Unspecified => {
                Reason::Internal
            }
        };
        let outcome = match error.outcome() {
            wire::Outcome::NotApplied => Outcome::NotApplied,
            // An applied write is retried as well: its verdict is missing.
            wire::Outcome::Unknown | wire::Outcome::Applied | wire::Outcome::Unspecified => {
                Outcome::Unknown
            }
        };
        let retry_after = u64::try_from(error.retry_after_ms).unwrap_or(0);
        let retry_after = Duration::from_millis(retry_after).min(MAX_RETRY_AFTER);
        let retry_after = Some(retry_after).filter(|pause| !pause.is_zero());
        Self {
            reason,
            outcome,
            retry_after,
            message: Self::bounded(error.message),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        if let Some(typed) = wire::from_status(&status) {
            return Self::from_wire(typed);
        }
        // Without details the error comes from the transport, not from the driver.
        let (reason, outcome) = match status.code() {
            _ if caused_by::<tonic::ConnectError>(&status) => {
                (Reason::Unreachable, Outcome::NotApplied)
            }
            // The client's own timeout also cancels the call; other cancellations are of a lost
            // connection.
            _ if caused_by::<tonic::TimeoutExpired>(&status) => {
                (Reason::Deadline, Outcome::Unknown)
            }
            // The driver's timeout, which expired first.
            Code::Cancelled if status.message() == tonic::TimeoutExpired(()).to_string() => {
                (Reason::Deadline, Outcome::Unknown)
            }
            Code::DeadlineExceeded => (Reason::Deadline, Outcome::Unknown),
            Code::Unimplemented => (Reason::Unimplemented, Outcome::NotApplied),
            // Such as a response above the largest message: the call itself was executed.
            Code::OutOfRange => (Reason::Internal, Outcome::Unknown),
            Code::InvalidArgument => (Reason::Internal, Outcome::NotApplied),
            _ => (Reason::Unreachable, Outcome::Unknown),
        };
        Self {
            reason,
            outcome,
            retry_after: None,
            message: Self::bounded(status.message().to_owned()),
        }
    }
}

/// Whether an error of this type caused a status.
fn caused_by<E: std::error::Error + 'static>(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<E>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::{Error, Outcome, Reason};

    #[test]
    fn transport_errors_leave_the_outcome_unknown() {
        let codes = [
            (Code::OutOfRange, Reason::Internal),
            (Code::ResourceExhausted, Reason::Unreachable),
            (Code::Internal, Reason::Unreachable),
            (Code::Cancelled, Reason::Unreachable),
            (Code::DeadlineExceeded, Reason::Deadline),
        ];
        for (code, reason) in codes {
            let error = Error::from(Status::new(code, "of the transport"));
            let expected = (reason, Outcome::Unknown);
            assert_eq!((error.reason, error.outcome), expected, "{code:?}");
        }
    }

    #[test]
    fn timeout_of_the_driver_is_a_deadline_error() {
        // As received over the wire: without its source.
        let error = Error::from(Status::cancelled("Timeout expired"));
        assert_eq!(error.reason, Reason::Deadline);
        assert_eq!(error.outcome, Outcome::Unknown);
    }
}
