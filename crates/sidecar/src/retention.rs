//! Periodic compaction of old history.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::v1::BackendError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, DriverHealth};
use crate::fanout::Fanout;

/// Longest interval between compactions, and the interval while the disk is full.
const INTERVAL: Duration = Duration::from_secs(60);
const INTERVAL_WHEN_FULL: Duration = Duration::from_secs(1);

/// Divisor of the retention each time that the disk is still full.
const SHRINK_FACTOR: u64 = 4;

/// Retention rule: keeps changes younger than `keep`, and the last `keep_events` regardless of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) keep: Duration,
    pub(crate) keep_events: u64,
}

impl Retention {
    /// Applies the rule until shutdown. While the disk is full, the retention shrinks until enough
    /// is freed: history holds deleted and replaced values.
    pub(crate) async fn run(
        self,
        driver: Arc<dyn Driver>,
        fanout: Arc<Fanout>,
        health: watch::Receiver<DriverHealth>,
        stop: CancellationToken,
    ) {
        let mut rule = self;
        let interval = self.interval();
        let mut waited = Duration::ZERO;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL_WHEN_FULL) => waited += INTERVAL_WHEN_FULL,
            }
            let full = matches!(*health.borrow(), DriverHealth::NoSpace(_));
            rule = if full { rule.shorter() } else { self };
            if !full && waited < interval {
                continue;
            }
            waited = Duration::ZERO;
            if let Err(error) = rule.apply(driver.as_ref(), &fanout, full).await {
                tracing::warn!(error = error.message, "cannot drop old history");
            }
        }
    }

    /// Interval between compactions. At most the retention itself, so that a store keeps at most
    /// about twice the changes that it must.
    fn interval(self) -> Duration {
        self.keep.min(INTERVAL)
    }

    /// Returns the next shorter retention.
    const fn shorter(self) -> Self {
        Self {
            keep: Duration::ZERO,
            keep_events: self.keep_events / SHRINK_FACTOR,
        }
    }

    async fn apply(
        self,
        driver: &dyn Driver,
        fanout: &Fanout,
        full: bool,
    ) -> Result<(), BackendError> {
        let target = driver.retention_target(self.keep, self.keep_events).await?;
        if let Some(revision) = target {
            let header = driver.compact(revision).await?;
            fanout.adopt(&header);
            if full {
                let kept = self.keep_events;
                tracing::warn!(
                    revision,
                    kept,
                    "disk is full: shortened the retention of history"
                );
            } else {
                tracing::debug!(revision, "dropped history");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Retention;

    #[test]
    fn retention_shrinks_as_far_as_needed() {
        let mut rule = Retention {
            keep: Duration::from_secs(3600),
            keep_events: 10_000,
        };
        let mut kept = Vec::new();
        while rule.keep_events > 0 {
            rule = rule.shorter();
            kept.push(rule.keep_events);
        }
        assert_eq!(kept, [2500, 625, 156, 39, 9, 2, 0]);
        assert_eq!(rule.keep, Duration::ZERO);
    }

    #[test]
    fn short_retention_is_applied_often() {
        let rule = |secs| Retention {
            keep: Duration::from_secs(secs),
            keep_events: 1,
        };
        let intervals = [0, 5, 60, 3600].map(|secs| rule(secs).interval().as_secs());
        assert_eq!(intervals, [0, 5, 60, 60]);
    }
}
