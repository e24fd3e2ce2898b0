//! Polling of a condition with a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::DEADLINE;
use crate::error::{Error, Result};

/// Poll interval.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// A wait in progress: the caller checks the condition, and calls [`Wait::again`] before each
/// further check.
pub(crate) struct Wait<'a> {
    what: &'a str,
    begin: Instant,
}

// === impl Wait ===

impl<'a> Wait<'a> {
    /// Begins a wait.
    pub(crate) fn begin(what: &'a str) -> Self {
        let begin = Instant::now();
        Self { what, begin }
    }

    /// Pauses until the next check; returns [`Error::DeadlineExceeded`] with the last known state after the
    /// deadline.
    pub(crate) async fn again(&self, last: impl FnOnce() -> String) -> Result<()> {
        if self.begin.elapsed() > DEADLINE {
            return Err(Error::DeadlineExceeded {
                what: self.what.to_owned(),
                waited: DEADLINE,
                last: last(),
            });
        }
        sleep(INTERVAL).await;
        Ok(())
    }
}
