//! Deadlines of calls to drivers.

use std::time::Duration;

/// How many times longer than a response the end of an import and a compaction may take: their
/// duration depends on the amount of data.
const WORK: u32 = 10;

/// Deadlines of calls to drivers.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Of a unary call, of the next message of a stream, and of the acceptance of a sent one.
    pub(crate) response: Duration,
}

impl Deadlines {
    /// Of a call whose duration depends on the amount of data.
    pub(crate) const fn work(self) -> Duration {
        self.response.saturating_mul(WORK)
    }
}
