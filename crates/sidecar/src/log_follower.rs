//! The only reader of the log: keeps the ring complete when other processes write too.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::{BackendError, Event, Header};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::driver::Driver;
use crate::fanout::Fanout;
use crate::metrics::Metrics;

/// Intervals between reads of the log for other writers' changes: `BUSY` after a change was found,
/// growing to `IDLE`. Drivers derive their health from these reads, and must report a lost store
/// within 5 s.
const BUSY: Duration = Duration::from_millis(250);
const IDLE: Duration = Duration::from_millis(1250);

/// Pause after a read that failed.
const RETRY: Duration = Duration::from_millis(250);

/// Maximum bytes of one read of the log.
const READ_BYTES: usize = 1 << 20;

/// Publishes changes, from commits and from the log.
#[derive(Clone, Debug)]
pub(crate) struct LogFollower {
    fanout: Arc<Fanout>,
    gap: Arc<Notify>,
}

impl LogFollower {
    pub(crate) fn new(fanout: Arc<Fanout>) -> Self {
        Self {
            fanout,
            gap: Arc::new(Notify::new()),
        }
    }

    pub(crate) fn header(&self) -> Header {
        self.fanout.header()
    }

    /// Publishes a commit. Changes that other writers made before it are first read from the log.
    pub(crate) fn publish(&self, events: Vec<Event>, header: Header) {
        if !self.fanout.publish(events, header) {
            self.gap.notify_one();
        }
    }

    /// Reads the log at once if the store is ahead of the published revision: the client that just
    /// got `now` may wait for it.
    pub(crate) fn wake(&self, now: &Header) {
        let known = self.fanout.header();
        if (known.epoch, known.revision) < (now.epoch, now.revision) {
            self.gap.notify_one();
        }
    }

    /// Follows the log until shutdown; only for multi-writer drivers.
    pub(crate) async fn follow(
        self,
        driver: Arc<dyn Driver>,
        metrics: Metrics,
        stop: CancellationToken,
    ) {
        let mut wait = BUSY;
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.gap.notified() => {}
                () = driver.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.catch_up(driver.as_ref(), &metrics).await {
                Ok(true) => BUSY,
                Ok(false) => (wait * 2).min(IDLE),
                Err(error) => {
                    if !failing {
                        tracing::warn!(error = error.message, "cannot read the log");
                    }
                    failing = true;
                    wait = RETRY;
                    continue;
                }
            };
            if failing {
                tracing::info!("reading the log works again");
            }
            failing = false;
        }
    }

    /// Reads to the end of the log; returns whether it held new changes.
    async fn catch_up(&self, driver: &dyn Driver, metrics: &Metrics) -> Result<bool, BackendError> {
        let mut changed = false;
        loop {
            let after = self.header().revision;
            metrics.log_read();
            let page = match driver.read_log(after, READ_BYTES).await {
                Err(error) if error.reason() == Reason::Compacted => {
                    // A new epoch began, or another process compacted changes that were not read
                    // yet. Watchers get the error when their cursor reaches the gap.
                    self.fanout.skip_to(driver.header().await?);
                    return Ok(true);
                }
                Err(error) if error.reason() == Reason::FutureRevision => {
                    // Another process imported a store in place of an empty one: its revisions may
                    // be smaller.
                    let (known, now) = (self.header(), driver.header().await?);
                    if known.store_id == now.store_id && known.epoch == now.epoch {
                        return Err(error);
                    }
                    self.fanout.skip_to(now);
                    return Ok(true);
                }
                page => page?,
            };
            let done = page.events.is_empty() || page.up_to_revision >= page.header.revision;
            changed |= !page.events.is_empty();
            self.fanout.publish(page.events, page.header);
            if done {
                return Ok(changed);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
