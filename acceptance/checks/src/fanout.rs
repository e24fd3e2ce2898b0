//! Checks of watches under load.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::NAMESPACE;
use crate::retry::{used, within_limit};
use ark_bench::client::Client;
use ark_bench::measure::fanout::{Fanout, Outcome, Pace};
use ark_bench::objects::Factory;
use ark_bench::target::{Programs, Target};

/// Limit of the 99th percentile of the delivery latency.
const MAX_DELIVERY_LATENCY: Duration = Duration::from_millis(50);
/// Streams per connection, below the server's limit of concurrent streams.
const STREAMS: usize = 50;

/// A fresh server and the clients of a fan-out.
struct TestBed {
    target: Target,
    client: Arc<Client>,
    factory: Factory,
    _scratch: tempfile::TempDir,
}

impl TestBed {
    async fn start(programs: &Programs, object_bytes: usize) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let target = Target::ours(programs, &scratch.path().join("data"))?;
        let client = Arc::new(target.connect(4).await?);
        let factory = Factory::calibrate(&client, NAMESPACE, object_bytes).await?;
        Ok(Self {
            target,
            client,
            factory,
            _scratch: scratch,
        })
    }

    async fn fanout(
        &self,
        watchers: usize,
        rate: usize,
        writes: usize,
        first: Pace,
    ) -> Result<Outcome> {
        let namespace = NAMESPACE.to_owned();
        let fanout = Fanout {
            namespace,
            watchers,
            rate,
            writes,
            first,
        };
        let watch_client = Arc::new(self.target.connect(watchers.div_ceil(STREAMS)).await?);
        fanout
            .measure(
                &self.client,
                &watch_client,
                &self.factory,
                &self.target.processes,
            )
            .await
    }

    /// Reads that the driver has served, from its metrics as the gateway re-exports them.
    async fn backend_reads(&self) -> Result<u64> {
        let text = self.client.get(0, "/metrics").await?;
        let text = String::from_utf8(text.to_vec())?;
        let values = text
            .lines()
            .filter(|line| line.starts_with("ark_apiserver_backend_requests_total{"))
            .filter(|line| !line.contains("method=\"Write\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        let (mut sum, mut count) = (0.0, 0);
        for value in values {
            sum += value;
            count += 1;
        }
        ensure!(
            count > 0,
            "no ark_apiserver_backend_requests_total in /metrics"
        );
        Ok(sum as u64)
    }
}

pub(super) async fn watchers(programs: &Programs) -> Result<String> {
    let test_bed = TestBed::start(programs, 600).await?;
    let outcome = test_bed.fanout(1_000, 200, 200 * 30, Pace::Full).await?;
    outcome.ensure_complete(0, 200 * 30)?;
    let memory = test_bed.target.processes.resident_bytes()? >> 20;
    test_bed.target.stop()?;
    Ok(format!(
        "{} events, {:.0} writes/s, p99 {:.0?}, {:.1} µs cpu per event, {memory} MiB",
        outcome.figure.operations,
        outcome.write_rate,
        outcome.figure.p99,
        outcome.figure.cpu_ms() * 1e3,
    ))
}

pub(super) async fn delivery(programs: &Programs) -> Result<String> {
    let test_bed = TestBed::start(programs, 2_600).await?;
    let outcome = test_bed.fanout(100, 200, 200 * 15, Pace::Full).await?;
    outcome.ensure_complete(0, 200 * 15)?;
    test_bed.target.stop()?;
    let figures = format!(
        "p99 {:.1?}, {:.0} writes/s",
        outcome.figure.p99, outcome.write_rate
    );
    let share = used(outcome.figure.p99, MAX_DELIVERY_LATENCY);
    within_limit(share.max(195.0 / outcome.write_rate), figures)
}

pub(super) async fn slow_reader(programs: &Programs) -> Result<String> {
    let test_bed = TestBed::start(programs, 2_600).await?;
    let writes = 10_000;
    let before = test_bed.target.processes.resident_bytes()?;
    let outcome = test_bed
        .fanout(10, 1_000, writes, Pace::EventsPerSecond(10))
        .await?;
    outcome.ensure_complete(1, writes)?;
    let slow = outcome.received.first().context("no watchers")?;
    let grown = test_bed
        .target
        .processes
        .resident_bytes()?
        .saturating_sub(before)
        >> 20;
    let figures = format!(
        "slow reader: {} of {writes} events, disconnected: {}; p99 of others {:.1?}; memory grew by {grown} MiB",
        slow.distinct, slow.disconnected, outcome.figure.p99
    );
    test_bed.target.stop()?;
    ensure!(slow.repeated == 0 && slow.disordered == 0, "{figures}");
    ensure!(
        slow.distinct == writes || slow.disconnected,
        "events lost without an error: {figures}"
    );
    ensure!(grown <= 192, "{figures}");
    within_limit(used(outcome.figure.p99, MAX_DELIVERY_LATENCY), figures)
}

pub(super) async fn reads_per_write(programs: &Programs) -> Result<String> {
    let test_bed = TestBed::start(programs, 600).await?;
    let writes = 500;
    let mut figures = Vec::new();
    for watchers in [1, 50, 1_000] {
        let before = test_bed.backend_reads().await?;
        let outcome = test_bed.fanout(watchers, 100, writes, Pace::Full).await?;
        outcome.ensure_complete(0, writes)?;
        let reads = test_bed.backend_reads().await? - before;
        figures.push((watchers, reads as f64 / writes as f64));
    }
    test_bed.target.stop()?;
    let text: Vec<String> = figures
        .iter()
        .map(|(watchers, reads)| format!("{watchers}: {reads:.2}"))
        .collect();
    let text = format!("reads per write by number of watchers {}", text.join(", "));
    let (least, most) = (figures[0].1, figures[figures.len() - 1].1);
    // Opening the watchers and maintenance between the runs cause a few reads.
    ensure!(most <= least + 0.5, "{text}");
    Ok(text)
}
