//! Lag of a target behind its source, and whether it shrinks.

use std::time::{Duration, Instant};

/// Interval of progress reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Lag and rates from the latest samples.
#[derive(Debug)]
pub(super) struct Lag {
    last: Sample,
    last_reported: Sample,
    /// Changes that the target lacks.
    behind: i64,
    /// Changes per second that the target imports, once known.
    pace: Option<f64>,
}

/// Revisions of both stores at one time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// Newest revision of the source.
    head: i64,
    /// Newest revision stored in the target.
    kept: i64,
}

impl Lag {
    /// Starts with the first sample.
    pub(super) fn new(at: Instant, head: i64, kept: i64) -> Self {
        let first = Sample { at, head, kept };
        Self {
            last: first,
            last_reported: first,
            behind: head - kept,
            pace: None,
        }
    }

    /// Adds a sample; returns a progress report if one is due.
    pub(super) fn sample(&mut self, at: Instant, head: i64, kept: i64) -> Option<String> {
        let now = Sample { at, head, kept };
        let [_, pace] = rates(&self.last, &now);
        (self.last, self.pace) = (now, Some(pace));
        self.behind = head - kept;
        if at.duration_since(self.last_reported.at) < REPORT_INTERVAL {
            return None;
        }
        let [written, taken] = rates(&self.last_reported, &now);
        self.last_reported = now;
        let behind = self.behind;
        let trend = if taken > written {
            let seconds = behind as f64 / (taken - written);
            format!("caught up in about {seconds:.0} s at this pace")
        } else {
            "it does not catch up: slow down who writes, or find out why the target is slow"
                .to_owned()
        };
        Some(format!(
            "{behind} changes behind; the source makes {written:.0}/s, the target takes \
             {taken:.0}/s: {trend}"
        ))
    }

    /// Whether the target can import the missing changes within `time`.
    pub(super) fn is_within(&self, time: Duration) -> bool {
        let takes = self.pace.unwrap_or(0.0) * time.as_secs_f64();
        self.behind as f64 <= takes
    }
}

/// Returns the changes per second made by the source and imported by the target between two
/// samples.
fn rates(before: &Sample, after: &Sample) -> [f64; 2] {
    let seconds = after.at.duration_since(before.at).as_secs_f64().max(0.001);
    let rate = |changes: i64| changes as f64 / seconds;
    [
        rate(after.head - before.head),
        rate(after.kept - before.kept),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the target's lag after samples of (seconds, head, stored revision), and the reports.
    fn after(samples: &[(u64, i64, i64)]) -> (bool, Vec<String>) {
        let started = Instant::now();
        let (_, head, kept) = samples[0];
        let mut lag = Lag::new(started, head, kept);
        let reports = samples[1..].iter().filter_map(|(second, head, kept)| {
            lag.sample(started + Duration::from_secs(*second), *head, *kept)
        });
        let reports = reports.collect();
        (lag.is_within(Duration::from_secs(1)), reports)
    }

    #[test]
    fn source_is_fenced_when_lag_is_below_a_second() {
        assert!(after(&[(0, 100, 100)]).0, "nothing is missing");
        assert!(!after(&[(0, 101, 100)]).0, "nothing is known of the pace");
        assert!(after(&[(0, 200, 100), (1, 250, 200)]).0, "half a second");
        assert!(
            !after(&[(0, 200, 100), (1, 350, 200)]).0,
            "a second and a half"
        );
    }

    #[test]
    fn lag_report_states_whether_target_catches_up() {
        let (_, reports) = after(&[
            (0, 1000, 0),
            (4, 1400, 400),
            (5, 1500, 1000),
            (6, 1500, 1100),
        ]);
        assert_eq!(
            reports,
            [
                "500 changes behind; the source makes 100/s, the target takes 200/s: caught up in \
              about 5 s at this pace"
            ]
        );
        let (_, reports) = after(&[(0, 1000, 0), (10, 3000, 1000)]);
        assert!(reports[0].contains("2000 changes behind"), "{reports:?}");
        assert!(reports[0].contains("does not catch up"), "{reports:?}");
    }
}
