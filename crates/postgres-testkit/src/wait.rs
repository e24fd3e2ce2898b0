//! Waiting until something is really so.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::DEADLINE;
use crate::error::{Error, Result};

/// How often a state is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// A wait that has begun: the caller looks, and calls [`Wait::again`] before each next look.
pub(crate) struct Wait<'a> {
    what: &'a str,
    begin: Instant,
}

// === impl Wait ===

impl<'a> Wait<'a> {
    /// Begins to wait for something.
    pub(crate) fn begin(what: &'a str) -> Self {
        let begin = Instant::now();
        Self { what, begin }
    }

    /// Pauses before the next look; [`Error::Late`], with what was seen last, after the deadline.
    pub(crate) async fn again(&self, last: impl FnOnce() -> String) -> Result<()> {
        if self.begin.elapsed() > DEADLINE {
            return Err(Error::Late {
                what: self.what.to_owned(),
                waited: DEADLINE,
                last: last(),
            });
        }
        sleep(INTERVAL).await;
        Ok(())
    }
}
