//! Checks of lists: every row arrives, and memory stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use http_body_util::BodyExt as _;
use scenarios::engine::reference::Reference;
use scenarios::repository::Repository;
use tokio::process::Command;

use crate::NAMESPACE;
use ark_bench::client::Client;
use ark_bench::measure::writes::{Run, Write};
use ark_bench::objects::{ALL, Factory};
use ark_bench::processes::Processes;
use ark_bench::target::{Programs, Target};

/// Not a multiple of kubectl's page size of 500, so that the last page is short.
const ROWS: usize = 11_105;
const LARGE_LIST: usize = 100_000;
const LARGE_LIST_OBJECT: usize = 2_048;
/// Limit of the growth of resident memory during the list, in bytes.
const MAX_GROWTH: u64 = 64 << 20;

/// Fills a server with objects of one size.
pub(super) async fn fill(client: &Arc<Client>, objects: usize, bytes: usize) -> Result<Factory> {
    let factory = Factory::calibrate(client, NAMESPACE, bytes).await?;
    let run = Run {
        kind: Write::Create,
        prefix: "query".to_owned(),
        namespace: NAMESPACE.to_owned(),
        count: objects,
        concurrency: 128,
    };
    run.perform(client, &factory).await?;
    Ok(factory)
}

pub(super) async fn rows(programs: &Programs) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let target = Target::ours(programs, &scratch.path().join("data"))?;
    let client = Arc::new(target.connect(4).await?);
    fill(&client, ROWS, 600).await?;
    // The kubectl of the reference release; built already if the reference is.
    let reference = Reference::find(&Repository::find()?, |_| {}).await?;
    let output = Command::new(reference.kubectl)
        .arg("--kubeconfig")
        .arg(&target.kubeconfig)
        .args(["get", "queries", "--no-headers"])
        .env("HOME", scratch.path())
        .output()
        .await
        .context("kubectl")?;
    ensure!(
        output.status.success(),
        "kubectl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rows = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    target.stop()?;
    ensure!(rows == ROWS, "{rows} rows");
    Ok(format!("{rows} rows"))
}

pub(super) async fn memory(programs: &Programs) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let target = Target::ours(programs, &scratch.path().join("data"))?;
    let client = Arc::new(target.connect(8).await?);
    fill(&client, LARGE_LIST, LARGE_LIST_OBJECT).await?;
    let before = target.processes.resident_bytes()?;
    let peak = Peak::watch(target.processes.clone());
    let bytes = drain(&client).await?;
    let peak = peak.stop().await?;
    target.stop()?;
    let least = (LARGE_LIST * (LARGE_LIST_OBJECT - 64)) as u64;
    ensure!(bytes >= least, "incomplete list: {bytes} bytes");
    let growth = peak.saturating_sub(before);
    let figures = format!(
        "{} MiB listed, resident {} MiB before, {} MiB at most",
        bytes >> 20,
        before >> 20,
        peak >> 20
    );
    ensure!(growth <= MAX_GROWTH, "{figures}");
    Ok(figures)
}

/// Reads the whole list without storing it; returns its bytes.
async fn drain(client: &Client) -> Result<u64> {
    let response = client
        .open(0, Method::GET, ALL, &[], bytes::Bytes::new())
        .await?;
    ensure!(
        response.status().is_success(),
        "list: {}",
        response.status()
    );
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes += data.len() as u64;
        }
    }
    Ok(bytes)
}

/// Samples resident memory until stopped.
struct Peak {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    sampler: tokio::task::JoinHandle<Result<()>>,
}

impl Peak {
    fn watch(processes: Processes) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let peak = Arc::new(AtomicU64::new(0));
        let (ended, highest) = (Arc::clone(&stop), Arc::clone(&peak));
        let sampler = tokio::task::spawn_blocking(move || {
            while !ended.load(Ordering::Acquire) {
                highest.fetch_max(processes.resident_bytes()?, Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        });
        Self {
            stop,
            peak,
            sampler,
        }
    }

    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Release);
        self.sampler.await??;
        Ok(self.peak.load(Ordering::Acquire))
    }
}
