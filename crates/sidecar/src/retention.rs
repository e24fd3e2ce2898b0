//! Dropping history that nobody needs.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::v1::BackendError;
use tokio_util::sync::CancellationToken;

use crate::driver::Driver;
use crate::fanout::Fanout;

/// How often the rule is applied.
const EVERY: Duration = Duration::from_secs(60);

/// What is kept: changes younger than `keep`, and the last `keep_events` whatever their age.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) keep: Duration,
    pub(crate) keep_events: u64,
}

impl Retention {
    /// Applies the rule until told to stop.
    pub(crate) async fn run(
        self,
        driver: Arc<dyn Driver>,
        fanout: Arc<Fanout>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.apply(driver.as_ref(), &fanout).await {
                tracing::warn!(error = error.message, "cannot drop old history");
            }
        }
    }

    async fn apply(self, driver: &dyn Driver, fanout: &Fanout) -> Result<(), BackendError> {
        let target = driver.retention_target(self.keep, self.keep_events).await?;
        if let Some(revision) = target {
            let header = driver.compact(revision).await?;
            fanout.adopt(&header);
            tracing::debug!(revision, "dropped history");
        }
        Ok(())
    }
}
