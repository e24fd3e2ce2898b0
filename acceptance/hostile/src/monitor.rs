//! Observations during an attack, made on a separate thread: the neighbour, probes and logins on
//! new connections, and the server's memory.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::client::{Connection, Request};
use crate::neighbour::{self, NAMESPACE};
use crate::tls::{Identity, Protocol, Target};
use crate::{kinds, process};

/// Interval between probes; each is followed by one login of the administrator.
const PROBE_INTERVAL: Duration = Duration::from_millis(150);
/// Time after which a probe fails regardless of the criteria.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between memory samples.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// Median of the neighbour's latencies.
    pub(crate) p50: Duration,
    /// 99th percentile of the neighbour's latencies.
    pub(crate) p99: Duration,
    /// Longest probe: connection, handshake and response.
    pub(crate) livez: Duration,
    /// Longest request of the administrator on a new connection.
    pub(crate) login: Duration,
    /// Peak resident memory of the gateway, in bytes.
    pub(crate) memory: u64,
    /// Requests that failed outright.
    pub(crate) errors: Vec<String>,
}

/// Observes from [`Monitor::start`] to [`Monitor::stop`].
pub(crate) struct Monitor {
    stop: CancellationToken,
    thread: JoinHandle<Result<Observed>>,
}

impl Monitor {
    /// Starts to observe the server whose gateway has process id `pid`.
    pub(crate) fn start(target: &Target, pid: u32) -> Result<Self> {
        let stop = CancellationToken::new();
        let (target, stopped) = (target.clone(), stop.clone());
        // A separate runtime, so that the attackers' own CPU use does not appear as latency.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("monitor".to_owned())
            .spawn(move || Ok(runtime.block_on(observe(&target, pid, &stopped))))?;
        Ok(Self { stop, thread })
    }

    pub(crate) fn stop(self) -> Result<Observed> {
        self.stop.cancel();
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the monitor panicked"))?
    }
}

async fn observe(target: &Target, pid: u32, stop: &CancellationToken) -> Observed {
    let (record, probes, memory) = tokio::join!(
        neighbour::run(target, stop),
        probe(target, stop),
        sample(pid, stop),
    );
    let mut latencies = record.latencies;
    latencies.sort_unstable();
    let mut errors = record.errors;
    errors.extend(probes.errors);
    Observed {
        p50: percentile(&latencies, 50),
        p99: percentile(&latencies, 99),
        memory,
        errors,
        ..probes
    }
}

/// Probes as the kubelet does and logs in as kubectl does: on a new connection each time.
async fn probe(target: &Target, stop: &CancellationToken) -> Observed {
    let mut observed = Observed::default();
    let object = format!("{}/form-00", kinds::collection(NAMESPACE, "forms"));
    let livez = Request::get("/livez");
    let login = Request::get(object);
    while !stop.is_cancelled() {
        let started = Instant::now();
        for (identity, request, longest) in [
            (Identity::Anonymous, &livez, &mut observed.livez),
            (Identity::Admin, &login, &mut observed.login),
        ] {
            let started = Instant::now();
            let response = ask(target, identity, request).await;
            *longest = started.elapsed().max(*longest);
            if let Err(error) = response {
                let text = format!("{} on a new connection: {error:#}", request.path);
                // Three examples suffice for a report.
                if observed.errors.len() < 3 {
                    observed.errors.push(text);
                }
            }
        }
        sleep(PROBE_INTERVAL.saturating_sub(started.elapsed())).await;
    }
    observed
}

async fn ask(target: &Target, identity: Identity, request: &Request) -> Result<()> {
    let asked = async {
        let connection =
            Connection::open(target, neighbour::ADDRESS, identity, Protocol::Http1).await;
        let response = connection?.call(request, PROBE_TIMEOUT).await?;
        anyhow::ensure!(response.status.is_success(), "{}", response.describe());
        anyhow::Ok(())
    };
    tokio::time::timeout(PROBE_TIMEOUT, asked)
        .await
        .context("no response within 10 s")?
}

/// Peak resident memory; zero if the process has ended.
async fn sample(pid: u32, stop: &CancellationToken) -> u64 {
    let mut most = 0;
    let mut samples = interval(SAMPLE_INTERVAL);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        samples.tick().await;
        most = process::resident(pid).unwrap_or_default().max(most);
    }
    most
}

/// Nearest-rank percentile of sorted values; zero if there are none.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    let value = sorted.get(rank.saturating_sub(1));
    value.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Duration, percentile};

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 99), Duration::from_millis(99));
        assert_eq!(percentile(&values[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
