//! A limit of batches per second: a token bucket.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Throttle;

/// A token bucket, kept as the time at which it would be full.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    burst: u32,
    full: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(throttle: Throttle) -> Self {
        Self {
            interval: Duration::from_secs_f32(1.0 / throttle.qps),
            burst: throttle.burst,
            full: Instant::now(),
        }
    }

    /// Waits for a token and takes it.
    pub(super) async fn take(&mut self) {
        let full = self.full.max(Instant::now());
        let earlier = self.interval * (self.burst - 1);
        if let Some(at) = full.checked_sub(earlier) {
            sleep_until(at).await;
        }
        self.full = full + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn batches_are_limited_after_the_burst() {
        let began = Instant::now();
        let mut bucket = Bucket::new(Throttle {
            qps: 10.0,
            burst: 3,
        });
        for _ in 0..3 {
            bucket.take().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        bucket.take().await;
        let waited = began.elapsed().as_millis();
        assert!((99..=102).contains(&waited), "{waited}");
        bucket.take().await;
        let waited = began.elapsed().as_millis();
        assert!((198..=203).contains(&waited), "{waited}");
    }
}
