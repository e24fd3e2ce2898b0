//! Results of cases, and assertions.

use backend_proto::error::{code_of, from_status};
use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::{Outcome, Reason};
use tonic::Status;

use crate::{calls, text};

/// Reason why a case ended early.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Stop {
    /// The driver violated the contract; the message says what was observed and expected.
    #[error("{0}")]
    Failed(String),
    /// The driver lacks a capability that the case needs, according to its description.
    #[error("{0}")]
    Skipped(String),
}

/// Result of a case or a part of it.
pub type Check<T = ()> = Result<T, Stop>;

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Failed(described(&status))
    }
}

/// Returns a sentence about a failed call: the call, the status and the reason.
pub(crate) fn described(status: &Status) -> String {
    let call = calls::call_of(status).unwrap_or_else(|| "a call".to_owned());
    let typed = from_status(status);
    let reason = typed.map_or_else(
        || "without a BackendError in its details".to_owned(),
        |error| error.reason().as_str_name().to_owned(),
    );
    let code = text::code(status.code());
    format!("{call} failed with {code}, {reason}: {}", status.message())
}

/// Ends a case with a failure unless a condition holds.
macro_rules! ensure {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err($crate::check::Stop::Failed(format!($($sentence)+)));
        }
    };
}

/// Ends a case with a failure unless the observed value equals the expected one.
macro_rules! same {
    ($seen:expr, $due:expr, $($what:tt)+) => {{
        let (seen, due) = (&$seen, &$due);
        if seen != due {
            let what = format!($($what)+);
            return Err($crate::check::Stop::Failed(
                format!("{what}: observed {seen:?}, expected {due:?}"),
            ));
        }
    }};
}

pub(crate) use {ensure, same};

/// Returns a value that must be present.
pub(crate) fn some<T>(found: Option<T>, what: &str) -> Check<T> {
    found.ok_or_else(|| Stop::Failed(format!("{what} is missing")))
}

/// Asserts that a call failed as the protocol requires: with the reason, its gRPC code, the outcome
/// that nothing was stored, and a message.
pub(crate) fn refused<T>(answer: Result<T, Status>, due: Reason) -> Check<BackendError> {
    let Err(status) = answer else {
        return Err(Stop::Failed(format!(
            "a call succeeded that must fail with {}",
            due.as_str_name()
        )));
    };
    let (due_name, due_code) = (due.as_str_name(), code_of(due));
    let expected = format!("expected {due_name} with {}", text::code(due_code));
    let Some(error) = from_status(&status) else {
        return Err(Stop::Failed(format!("{}; {expected}", described(&status))));
    };
    ensure!(
        error.reason() == due && status.code() == due_code,
        "{}; {expected}",
        described(&status)
    );
    ensure!(
        error.outcome() == Outcome::NotApplied,
        "{}; its outcome is {}, expected NOT_APPLIED",
        described(&status),
        error.outcome().as_str_name()
    );
    ensure!(
        !error.message.is_empty(),
        "{due_name} came without a message"
    );
    Ok(error)
}
