//! Repeats checks that miss a time limit; every other failure is final.
//!
//! One stall of a shared machine (a flush of its disk, a process that is not scheduled) exceeds a
//! limit of milliseconds that the server meets. A server that does not meet the limit exceeds it in
//! every run. On a machine of unknown speed only a wide excess is significant: `--slack` extends
//! the limits there.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use anyhow::Result;

/// Upper bound of runs of one check.
const MAX_RUNS: usize = 3;

/// A run in which only a time limit was exceeded.
#[derive(Debug)]
pub(super) struct TooSlow {
    /// Measured time divided by the limit, above 1.
    times: f64,
    figures: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed(String),
    /// Passed only with slack.
    Slow(String),
}

/// Measured time divided by the limit.
pub(super) fn used(taken: Duration, limit: Duration) -> f64 {
    taken.as_secs_f64() / limit.as_secs_f64()
}

/// Fails a run whose time limit was exceeded. Callers check everything else first, because only
/// times may have slack.
pub(super) fn within_limit(used: f64, figures: String) -> Result<String> {
    if used <= 1.0 {
        Ok(figures)
    } else {
        Err(TooSlow {
            times: used,
            figures,
        }
        .into())
    }
}

/// Runs a check and repeats it while it is [`TooSlow`] even with slack, with a message for each
/// repetition. Any other error is final. A `slack` of 1 has no effect.
pub(super) async fn run(
    slack: f64,
    mut check: impl AsyncFnMut() -> Result<String>,
) -> Result<Outcome> {
    let mut number = 1;
    loop {
        let error = match check().await {
            Ok(figures) => return Ok(Outcome::Passed(figures)),
            Err(error) => error,
        };
        match error.downcast::<TooSlow>()? {
            slow if slow.times <= slack => return Ok(Outcome::Slow(slow.figures)),
            slow if number == MAX_RUNS => return Err(slow.into()),
            slow => println!("  try {number} of {MAX_RUNS}: {slow}"),
        }
        number += 1;
    }
}

// === impl TooSlow ===

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too slow by {:.1} ×: {}", self.times, self.figures)
    }
}

impl Error for TooSlow {}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    /// Runs a check with these results in turn; returns the outcome and the number of runs.
    async fn outcome(slack: f64, runs: Vec<Result<String>>) -> (Result<Outcome>, usize) {
        let mut left = runs.into_iter();
        let mut count = 0;
        let came_to = run(slack, async || {
            count += 1;
            left.next().expect("one more run than there may be")
        });
        (came_to.await, count)
    }

    fn took(milliseconds: u64) -> Result<String> {
        let taken = Duration::from_millis(milliseconds);
        let used = used(taken, Duration::from_millis(50));
        within_limit(used, format!("p99 {milliseconds} ms"))
    }

    #[tokio::test]
    async fn time_limit_is_measured_up_to_three_times() {
        let (passed, count) = outcome(1.0, vec![took(60), took(51), took(50)]).await;
        let expected = Outcome::Passed("p99 50 ms".to_owned());
        assert_eq!((passed.expect("kept"), count), (expected, 3));
        let (failed, count) = outcome(1.0, vec![took(60), took(60), took(60)]).await;
        let failed = failed.expect_err("slow every time").to_string();
        assert_eq!(
            (failed.as_str(), count),
            ("too slow by 1.2 ×: p99 60 ms", 3)
        );
    }

    #[tokio::test]
    async fn slack_extends_time_limit_up_to_its_factor() {
        let (slow, count) = outcome(4.0, vec![took(201), took(200)]).await;
        let expected = Outcome::Slow("p99 200 ms".to_owned());
        assert_eq!((slow.expect("late"), count), (expected, 2));
        let (failed, count) = outcome(4.0, vec![took(201), took(300), took(201)]).await;
        let failed = failed.expect_err("slow every time").to_string();
        assert_eq!(
            (failed.as_str(), count),
            ("too slow by 4.0 ×: p99 201 ms", 3)
        );
    }

    #[tokio::test]
    async fn other_failures_are_final() {
        let wrong = || Err(anyhow!("an event is missing"));
        for (before, runs) in [(vec![], 1), (vec![took(60)], 2)] {
            let all = before.into_iter().chain([wrong()]).collect();
            let (failed, count) = outcome(1.0, all).await;
            let failed = failed.expect_err("wrong").to_string();
            assert_eq!((failed.as_str(), count), ("an event is missing", runs));
        }
    }
}
