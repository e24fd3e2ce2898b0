//! Warnings that the server sends during a statement.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Function of the server that waits for synchronous standbys. Its warnings have the SQLSTATE of
/// many others, and their text is localized; names of functions are not.
const WAIT_FOR_STANDBYS: &str = "SyncRepWaitForLSN";

/// Interval between log lines of warnings from one place. The server repeats some with every
/// transaction, such as those of an approaching wraparound.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Most places whose last log line is remembered.
const MAX_PLACES: usize = 32;

/// Warnings of one connection.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    /// A commit is durable on fewer servers than configured.
    missed_standby: AtomicBool,
    /// Time of the last log line per place: bounded by [`MAX_PLACES`].
    logged: Mutex<HashMap<String, Instant>>,
}

impl Warnings {
    /// Records and logs a notice; ignores those below a warning.
    pub(crate) fn receive(&self, notice: &DbError) {
        // Compare the parsed severity, because the text is localized.
        if notice.parsed_severity() != Some(Severity::Warning) {
            return;
        }
        if is_missed_standby(notice.routine(), notice.code()) {
            self.missed_standby.store(true, Ordering::Relaxed);
        }
        let place = notice.routine().unwrap_or_else(|| notice.code().code());
        if self.is_due(place, Instant::now()) {
            let (code, hint) = (notice.code().code(), notice.hint());
            tracing::warn!(code, hint, "database: {}", notice.message());
        }
    }

    /// Whether a commit missed a standby since the last call.
    pub(crate) fn take_missed_standby(&self) -> bool {
        self.missed_standby.swap(false, Ordering::Relaxed)
    }

    fn is_due(&self, place: &str, now: Instant) -> bool {
        let mut logged = self.logged.lock();
        let last = logged.get(place);
        if last.is_some_and(|last| now.saturating_duration_since(*last) < LOG_INTERVAL) {
            return false;
        }
        if logged.len() >= MAX_PLACES {
            logged.clear();
        }
        logged.insert(place.to_owned(), now);
        true
    }
}

/// Whether a warning reports that a commit did not reach the synchronous standbys. Without the name
/// of a function, which a proxy may have removed, the SQLSTATE must not exclude it.
fn is_missed_standby(routine: Option<&str>, code: &SqlState) -> bool {
    match routine {
        Some(routine) => routine == WAIT_FOR_STANDBYS,
        None => [&SqlState::WARNING, &SqlState::ADMIN_SHUTDOWN].contains(&code),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio_postgres::error::SqlState;

    use super::{LOG_INTERVAL, Warnings, is_missed_standby};

    #[test]
    fn only_wait_for_standbys_is_a_missed_standby() {
        for (routine, code, expected) in [
            (Some("SyncRepWaitForLSN"), SqlState::WARNING, true),
            (Some("SyncRepWaitForLSN"), SqlState::ADMIN_SHUTDOWN, true),
            (Some("GetNewTransactionId"), SqlState::WARNING, false),
            (Some("exec_stmt_raise"), SqlState::WARNING, false),
            (None, SqlState::WARNING, true),
            (None, SqlState::ADMIN_SHUTDOWN, true),
            (None, SqlState::WARNING_DEPRECATED_FEATURE, false),
        ] {
            assert_eq!(is_missed_standby(routine, &code), expected, "{routine:?}");
        }
    }

    #[test]
    fn repeated_warning_is_logged_once_a_minute() {
        let warnings = Warnings::default();
        let now = Instant::now();
        assert!(warnings.is_due("a", now));
        assert!(!warnings.is_due("a", now + Duration::from_secs(1)));
        assert!(warnings.is_due("b", now + Duration::from_secs(1)));
        assert!(warnings.is_due("a", now + LOG_INTERVAL));
    }
}
