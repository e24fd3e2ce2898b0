//! Peak size of a file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Samples the size of a file and records the largest.
pub(super) struct Peak {
    stop: CancellationToken,
    sampler: JoinSet<u64>,
}

impl Peak {
    pub(super) fn watch(path: PathBuf) -> Self {
        let (stop, mut sampler) = (CancellationToken::new(), JoinSet::new());
        let ended = stop.clone();
        sampler.spawn(async move {
            let mut peak = 0;
            while !ended.is_cancelled() {
                peak = std::fs::metadata(&path).map_or(0, |it| it.len()).max(peak);
                sleep(Duration::from_millis(20)).await;
            }
            peak
        });
        Self { stop, sampler }
    }

    pub(super) async fn stop(mut self) -> Result<u64> {
        self.stop.cancel();
        Ok(self.sampler.join_next().await.context("no sampler")??)
    }
}
