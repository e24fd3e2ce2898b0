//! Waiting for a state of the cluster.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Repeats `attempt` until it returns a value; returns that value and the time that it took.
///
/// # Errors
/// With the state that `attempt` described last, when the time is over.
pub(crate) async fn until<T>(
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Result<Result<T, String>>,
) -> Result<(T, Duration)> {
    let began = Instant::now();
    loop {
        match attempt().await? {
            Ok(value) => return Ok((value, began.elapsed())),
            Err(state) if began.elapsed() > limit => bail!("after {limit:?}: {state}"),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}
