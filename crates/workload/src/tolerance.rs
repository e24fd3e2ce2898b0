//! Errors that clients may get without a fault.

use crate::call::Call;
use crate::client::CallError;

/// Errors that the faults of a run justify. Errors that ask for a retry and say when are always
/// justified, except for watches where `rejected_watches` is false.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Connections may break.
    pub broken: bool,
    /// An error may ask for a retry without saying when.
    pub unadvised: bool,
    /// A server may ask for a retry of a watch.
    pub rejected_watches: bool,
    /// Watches may expire, because commits may be lost.
    pub expired: bool,
}

// === impl Tolerance ===

impl Tolerance {
    /// The servers stay up; only the storage behind them fails.
    pub const SERVERS_STAY_UP: Self = Self {
        broken: false,
        unadvised: false,
        rejected_watches: true,
        expired: false,
    };

    /// The servers are killed, and clients wait until a server is ready.
    pub const SERVERS_ARE_KILLED: Self = Self {
        broken: true,
        unadvised: true,
        rejected_watches: false,
        expired: false,
    };

    /// Servers are replaced by others, which are not ready at once.
    pub const SERVERS_ARE_REPLACED: Self = Self {
        broken: true,
        unadvised: false,
        rejected_watches: true,
        expired: false,
    };

    /// The storage loses commits.
    pub const COMMITS_ARE_LOST: Self = Self {
        broken: true,
        unadvised: true,
        rejected_watches: true,
        expired: true,
    };

    /// Whether a call may fail with an error.
    #[must_use]
    pub const fn permits(self, call: Call, error: &CallError) -> bool {
        match error {
            CallError::Ended => true,
            CallError::Broken(_) => self.broken,
            CallError::Retry { after, .. } => {
                let watch = matches!(call, Call::Watch);
                (self.unadvised || after.is_some()) && (self.rejected_watches || !watch)
            }
            CallError::Expired { .. } => self.expired,
            CallError::Conflict(_) | CallError::Rejected(_) | CallError::Violation(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Call, CallError, Tolerance};

    fn retry(after: Option<Duration>) -> CallError {
        CallError::Retry {
            reason: "NOT_READY".to_owned(),
            message: String::new(),
            after,
            not_applied: true,
        }
    }

    #[test]
    fn each_run_permits_its_errors_only() {
        let second = Some(Duration::from_secs(1));
        let expired = CallError::Expired {
            reason: "COMPACTED".to_owned(),
            message: String::new(),
        };
        let rows = [
            (
                Tolerance::SERVERS_STAY_UP,
                [false, true, false, true, false],
            ),
            (
                Tolerance::SERVERS_ARE_KILLED,
                [true, true, true, false, false],
            ),
            (
                Tolerance::SERVERS_ARE_REPLACED,
                [true, true, false, true, false],
            ),
            (Tolerance::COMMITS_ARE_LOST, [true, true, true, true, true]),
        ];
        for (tolerance, expected) in rows {
            let observed = [
                tolerance.permits(Call::Read, &CallError::Broken(String::new())),
                tolerance.permits(Call::Write, &retry(second)),
                tolerance.permits(Call::Write, &retry(None)),
                tolerance.permits(Call::Watch, &retry(second)),
                tolerance.permits(Call::Watch, &expired),
            ];
            assert_eq!(observed, expected, "{tolerance:?}");
            for never in [
                CallError::Rejected,
                CallError::Violation,
                CallError::Conflict,
            ] {
                assert!(!tolerance.permits(Call::Write, &never(String::new())));
            }
        }
    }
}
