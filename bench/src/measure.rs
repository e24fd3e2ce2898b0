//! Measurements: operations, latencies and CPU seconds of the server.

pub(crate) mod applies;
pub mod fanout;
pub(crate) mod reads;
pub mod writes;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::processes::Processes;

/// Cost of one kind of operation on one server.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Name of the operation, such as `create, 64 clients`.
    pub name: String,
    /// Number of operations.
    pub operations: u64,
    /// Wall-clock time of the whole measurement.
    pub elapsed: Duration,
    /// Median latency.
    pub p50: Duration,
    /// 99th percentile of the latency.
    pub p99: Duration,
    /// CPU seconds of all server processes over the whole measurement.
    pub cpu_seconds: f64,
}

impl Figure {
    /// Server CPU per operation, in milliseconds.
    pub fn cpu_ms(&self) -> f64 {
        self.cpu_seconds * 1e3 / self.operations.max(1) as f64
    }

    /// Operations per second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }
}

/// Measures from creation to [`Stopwatch::stop`].
pub struct Stopwatch<'a> {
    processes: &'a Processes,
    cpu: f64,
    started: Instant,
}

impl<'a> Stopwatch<'a> {
    /// Starts now.
    pub fn start(processes: &'a Processes) -> Result<Self> {
        Ok(Self {
            processes,
            cpu: processes.cpu_seconds()?,
            started: Instant::now(),
        })
    }

    /// Builds a figure from the latencies measured meanwhile. `operations` differs from their
    /// number if only some were sampled.
    pub fn stop(
        self,
        name: impl Into<String>,
        operations: u64,
        mut latencies: Vec<Duration>,
    ) -> Result<Figure> {
        let elapsed = self.started.elapsed();
        let cpu_seconds = self.processes.cpu_seconds()? - self.cpu;
        latencies.sort_unstable();
        Ok(Figure {
            name: name.into(),
            operations,
            elapsed,
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            cpu_seconds,
        })
    }
}

/// Nearest-rank percentile of sorted values; zero if there are none.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Duration, percentile};

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(50));
        assert_eq!(percentile(&values, 99), Duration::from_millis(99));
        assert_eq!(percentile(&values[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
