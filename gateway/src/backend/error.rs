//! Failed calls, by meaning.

use std::time::Duration;

use backend_proto::error as wire;
use tonic::{Code, Status};

/// Bytes of a driver's sentence that are kept: it is repeated in logs and to every client that waits.
const MESSAGE_BYTES: usize = 1024;
/// The longest wait that a driver can advise clients to.
const LONGEST_ADVICE: Duration = Duration::from_secs(60);

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What went wrong.
    pub reason: Reason,
    /// What became of the writes of the call.
    pub outcome: Outcome,
    /// When to try again, if the backend advised.
    pub retry_after: Option<Duration>,
    /// One sentence for an operator.
    pub message: String,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The revision is below the compact revision.
    Compacted,
    /// The revision does not exist yet.
    FutureRevision,
    /// Commits may be missing: drop caches and describe again.
    EpochChanged,
    /// A bound was reached; try again later.
    Overloaded,
    /// Disk or quota is full.
    NoSpace,
    /// Above a limit of the driver.
    TooLarge,
    /// The driver starts, stands by or has lost its database.
    NotReady,
    /// No connection to the driver, or it broke.
    Unreachable,
    /// Stored data failed its checksum.
    Corrupt,
    /// The watch fell behind and was cut.
    TooSlow,
    /// No answer in time.
    Deadline,
    /// The driver does not have the call.
    Unimplemented,
    /// The answer is older than what was seen before: another or a restored store.
    WentBack,
    /// The driver and this program do not fit; see the message.
    Refused,
    /// The answer breaks the protocol: a fault of the driver.
    Broken,
    /// A fault of the driver or of this program.
    Internal,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was stored.
    NotApplied,
    /// It may have been stored; ask again with the same op id.
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

    /// The driver does not fit.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new(Reason::Refused, message)
    }

    /// One sentence, whatever a driver takes for one.
    fn sentence(mut message: String) -> String {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        message
    }

    /// A failure inside an answered call.
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
            // A verdict is wanted even for what was surely applied: ask again for it.
            wire::Outcome::Unknown | wire::Outcome::Applied | wire::Outcome::Unspecified => {
                Outcome::Unknown
            }
        };
        let advice = u64::try_from(error.retry_after_ms).unwrap_or(0);
        let advice = Duration::from_millis(advice).min(LONGEST_ADVICE);
        let retry_after = Some(advice).filter(|advice| !advice.is_zero());
        Self {
            reason,
            outcome,
            retry_after,
            message: Self::sentence(error.message),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        if let Some(typed) = wire::from_status(&status) {
            return Self::from_wire(typed);
        }
        // No typed error: it comes from the transport, not from the driver.
        let (reason, outcome) = match status.code() {
            _ if caused_by::<tonic::ConnectError>(&status) => {
                (Reason::Unreachable, Outcome::NotApplied)
            }
            // The client's own timer also ends as a cancelled call; others are of a connection
            // that went away.
            _ if caused_by::<tonic::TimeoutExpired>(&status) => {
                (Reason::Deadline, Outcome::Unknown)
            }
            // The other side's timer, which went off first.
            Code::Cancelled if status.message() == tonic::TimeoutExpired(()).to_string() => {
                (Reason::Deadline, Outcome::Unknown)
            }
            Code::DeadlineExceeded => (Reason::Deadline, Outcome::Unknown),
            Code::Unimplemented => (Reason::Unimplemented, Outcome::NotApplied),
            // Such as an answer above the largest message: what it answers was done.
            Code::OutOfRange => (Reason::Internal, Outcome::Unknown),
            Code::InvalidArgument => (Reason::Internal, Outcome::NotApplied),
            _ => (Reason::Unreachable, Outcome::Unknown),
        };
        Self {
            reason,
            outcome,
            retry_after: None,
            message: Self::sentence(status.message().to_owned()),
        }
    }
}

/// Whether an error of this type is behind a status.
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
    fn what_the_transport_says_leaves_the_outcome_open() {
        let codes = [
            (Code::OutOfRange, Reason::Internal),
            (Code::ResourceExhausted, Reason::Unreachable),
            (Code::Internal, Reason::Unreachable),
            (Code::Cancelled, Reason::Unreachable),
            (Code::DeadlineExceeded, Reason::Deadline),
        ];
        for (code, reason) in codes {
            let error = Error::from(Status::new(code, "from somewhere"));
            let due = (reason, Outcome::Unknown);
            assert_eq!((error.reason, error.outcome), due, "{code:?}");
        }
    }

    #[test]
    fn a_timer_of_the_other_side_is_no_broken_connection() {
        // As it comes over the wire: without its cause.
        let error = Error::from(Status::cancelled("Timeout expired"));
        assert_eq!(error.reason, Reason::Deadline);
        assert_eq!(error.outcome, Outcome::Unknown);
    }
}
