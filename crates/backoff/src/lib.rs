//! Pauses between retries of a call to another process.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Pauses that double from the first to the longest, each with up to as much again at random, so that
/// the attempts of many processes do not coincide.
#[derive(Debug)]
pub struct Backoff {
    pauses: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Begins with the first pause. One that is longer than the longest is kept.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let longest = first.max(longest);
        let pauses = ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times()
            .with_jitter()
            .build();
        Self { pauses, longest }
    }

    /// The length of the next pause.
    pub fn next_pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest)
    }

    /// Waits for the next pause to pass.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_have_jitter() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(20), millis(100));
        for (at_least, at_most) in [(20, 40), (40, 80), (80, 160), (100, 200), (100, 200)] {
            let pause = backoff.next_pause();
            assert!(
                pause >= millis(at_least) && pause <= millis(at_most),
                "{pause:?}"
            );
        }
        assert!(Backoff::new(millis(500), millis(100)).next_pause() >= millis(500));
    }
}
