//! How a case says that a promise was broken.

use backend_proto::error::{code_of, from_status};
use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::{Outcome, Reason};
use tonic::Status;

/// Why a case did not run to its end.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Stop {
    /// The driver broke the contract; the sentence says what was seen and what was due.
    #[error("{0}")]
    Failed(String),
    /// The driver does not have what the case needs, and says so itself.
    #[error("{0}")]
    Skipped(String),
}

/// What a case, or a part of one, comes to.
pub type Check<T = ()> = Result<T, Stop>;

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        let typed = from_status(&status).map(|error| format!(", {:?}", error.reason()));
        Self::Failed(format!(
            "a call failed with {:?}{}: {}",
            status.code(),
            typed.unwrap_or_default(),
            status.message()
        ))
    }
}

/// Breaks a case off unless something holds.
macro_rules! ensure {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err($crate::check::Stop::Failed(format!($($sentence)+)));
        }
    };
}

/// Breaks a case off unless what was seen is what was due.
macro_rules! same {
    ($seen:expr, $due:expr, $($what:tt)+) => {{
        let (seen, due) = (&$seen, &$due);
        if seen != due {
            let what = format!($($what)+);
            return Err($crate::check::Stop::Failed(
                format!("{what}: seen {seen:?}, due {due:?}"),
            ));
        }
    }};
}

pub(crate) use {ensure, same};

/// A value that must be there.
pub(crate) fn some<T>(found: Option<T>, what: &str) -> Check<T> {
    found.ok_or_else(|| Stop::Failed(format!("{what} is missing")))
}

/// Demands that a call failed as the protocol says: the reason, the code that goes with it, the
/// outcome that nothing was stored, and a sentence for an operator.
pub(crate) fn refused<T>(answer: Result<T, Status>, due: Reason) -> Check<BackendError> {
    let Err(status) = answer else {
        return Err(Stop::Failed(format!(
            "a call succeeded that must fail with {due:?}"
        )));
    };
    let Some(error) = from_status(&status) else {
        return Err(Stop::Failed(format!(
            "a call failed with {:?} and no BackendError in its details, due {due:?}",
            status.code()
        )));
    };
    same!(error.reason(), due, "reason of a failed call");
    same!(status.code(), code_of(due), "gRPC code of {due:?}");
    same!(error.outcome(), Outcome::NotApplied, "outcome of {due:?}");
    ensure!(!error.message.is_empty(), "{due:?} came without a sentence");
    Ok(error)
}
