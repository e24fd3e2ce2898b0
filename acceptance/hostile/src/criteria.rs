//! What the server guarantees to other clients while it is attacked.

use std::time::Duration;

use crate::monitor::Observed;

/// Longest time of a probe on a new connection.
pub(crate) const MAX_LIVEZ: Duration = Duration::from_millis(100);
/// Longest time of an administrator's request on a new connection.
pub(crate) const MAX_LOGIN: Duration = Duration::from_secs(1);
/// CPU time that one request may use.
pub(crate) const MAX_CPU: Duration = Duration::from_secs(1);

/// Bytes per second that clients may cause the server to log. A line of 200 bytes for every tenth
/// request of a busy server fills 5 GB a day.
const MAX_LOG_RATE: f64 = 64.0 * 1024.0;

/// Memory that the allocator keeps after it managed some hundred MiB: its records of address ranges
/// (7 MiB after a measured run) and pages that are used in part.
const MAX_ALLOCATOR_MEMORY: u64 = 16 << 20;

/// Limits, scaled by `--slack`.
#[derive(Clone, Debug)]
pub(crate) struct Criteria {
    /// Neighbour's p99 as a multiple of its quiet value.
    pub(crate) factor: f64,
    /// Smallest p99 that can be a failure.
    pub(crate) floor: Duration,
    /// Longest probe.
    pub(crate) livez: Duration,
    /// Longest request of an administrator on a new connection.
    pub(crate) login: Duration,
    /// CPU time of one request.
    pub(crate) cpu: Duration,
    /// Bytes above the quiet value.
    pub(crate) memory: u64,
}

/// A violated criterion.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// Description with figures.
    pub(crate) text: String,
    /// A time limit was exceeded. Another process of the machine may be the cause, so the suite
    /// measures it again.
    pub(crate) timing: bool,
}

impl Problem {
    /// A problem that load on the machine cannot explain.
    pub(crate) fn wrong(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            text,
            timing: false,
        }
    }

    fn late(text: String) -> Self {
        Self { text, timing: true }
    }
}

impl Criteria {
    /// Compares observations during an attack with those before it.
    pub(crate) fn evaluate(&self, quiet: &Observed, during: &Observed) -> Vec<Problem> {
        let mut problems: Vec<_> = during
            .errors
            .iter()
            .map(|error| Problem::wrong(error.clone()))
            .collect();
        let bound = self.floor.max(quiet.p99.mul_f64(self.factor));
        if during.p99 > bound {
            let text = format!(
                "neighbour's p99 is {:.1?}, limit {bound:.1?} (quiet {:.1?})",
                during.p99, quiet.p99
            );
            problems.push(Problem::late(text));
        }
        for (what, longest, limit) in [
            ("/livez", during.livez, self.livez),
            (
                "a new connection of the administrator",
                during.login,
                self.login,
            ),
        ] {
            if longest > limit {
                let text = format!("{what} took {longest:.1?}, limit {limit:.1?}");
                problems.push(Problem::late(text));
            }
        }
        let grown = during.memory.saturating_sub(quiet.memory);
        if grown > self.memory {
            problems.push(Problem::wrong(format!(
                "memory grew by {} MiB, limit {} MiB",
                grown >> 20,
                self.memory >> 20
            )));
        }
        problems
    }

    /// Checks the bytes that a server logged during an attack.
    pub(crate) fn evaluate_log(bytes: u64, elapsed: Duration) -> Option<Problem> {
        let limit = MAX_LOG_RATE * elapsed.as_secs_f64().max(1.0);
        (bytes as f64 > limit).then(|| {
            let kib = bytes >> 10;
            Problem::wrong(format!("{kib} KiB of log in {elapsed:.1?}"))
        })
    }

    /// Bytes that the server may hold a minute after the attacks; `stored` are those of the objects
    /// and past changes that the attacks added.
    pub(crate) fn memory_afterwards(quiet: u64, stored: u64) -> u64 {
        quiet + quiet / 5 + stored + MAX_ALLOCATOR_MEMORY
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Criteria;
    use crate::monitor::Observed;

    fn observed(p99: u64, memory: u64) -> Observed {
        Observed {
            p99: Duration::from_millis(p99),
            memory: memory << 20,
            ..Observed::default()
        }
    }

    #[test]
    fn evaluate_reports_each_violated_criterion() {
        let criteria = Criteria {
            factor: 5.0,
            floor: Duration::from_millis(50),
            livez: super::MAX_LIVEZ,
            login: super::MAX_LOGIN,
            cpu: super::MAX_CPU,
            memory: 256 << 20,
        };
        let quiet = observed(20, 100);
        let count = |during: &Observed| criteria.evaluate(&quiet, during).len();
        assert_eq!(count(&observed(99, 300)), 0);
        assert_eq!(count(&observed(101, 300)), 1, "five times the quiet value");
        assert_eq!(
            criteria.evaluate(&observed(1, 0), &observed(49, 0)).len(),
            0
        );
        assert_eq!(count(&observed(20, 357)), 1, "memory");
        let late = Observed {
            livez: Duration::from_millis(101),
            login: Duration::from_millis(1001),
            errors: vec!["GET: 503".to_owned()],
            ..observed(20, 100)
        };
        assert_eq!(count(&late), 3);
        let second = Duration::from_secs(1);
        assert!(Criteria::evaluate_log(60 << 10, second).is_none());
        assert!(Criteria::evaluate_log(70 << 10, second).is_some());
    }
}
