//! Tests of crash mode: the model as a process that is killed, and a variant that loses
//! acknowledged changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance::crash::{self, Plan};
use conformance::process::ProcessUnderTest;
use conformance::report::{Row, Verdict};
use conformance::{Endpoint, ModelDriver};
use sidecar::Options;
use sidecar::listen::Listener;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const KILLS: usize = 8;

/// State after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    /// All acknowledged changes.
    Honest,
    /// Only the state at the previous start.
    Lazy,
}

/// A server in its own runtime, which a kill drops without shutdown.
struct InProcess {
    folder: TempDir,
    disk: Disk,
    model: ModelDriver,
    /// State of the lazy disk.
    synced: ModelDriver,
    runtime: Option<Runtime>,
}

impl InProcess {
    fn new(disk: Disk) -> Self {
        let model = ModelDriver::new();
        Self {
            folder: tempfile::tempdir().expect("temporary directory"),
            disk,
            synced: model.fork(),
            model,
            runtime: None,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl ProcessUnderTest for InProcess {
    async fn start(&mut self) -> Result<(), String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let options = Options::at(format!("unix://{}", self.socket().display()));
        self.synced = self.model.fork();
        let model = self.model.clone();
        runtime.spawn(async move {
            let listener = Listener::bind(&options).await.expect("bind");
            let never = CancellationToken::new();
            sidecar::serve(Arc::new(model), listener, &options, never).await
        });
        self.runtime = Some(runtime);
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        None
    }

    async fn kill(&mut self) -> Result<(), String> {
        if let Some(runtime) = self.runtime.take() {
            // Waits for threads that are executing a step, but not for tasks.
            let dropped =
                tokio::task::spawn_blocking(|| runtime.shutdown_timeout(Duration::from_secs(5)));
            dropped.await.map_err(|error| error.to_string())?;
        }
        self.model = match self.disk {
            Disk::Honest => self.model.clone(),
            Disk::Lazy => self.synced.fork(),
        };
        Ok(())
    }
}

async fn run_crash_mode(disk: Disk) -> Vec<Row> {
    let mut process = InProcess::new(disk);
    let endpoint = Endpoint::unix(&process.socket());
    let plan = Plan {
        kills: KILLS,
        seed: 5,
    };
    crash::run(&mut process, &endpoint, plan, |_| ()).await
}

fn failed(rows: &[Row]) -> Vec<&'static str> {
    let failed = rows
        .iter()
        .filter(|row| matches!(row.verdict, Verdict::Failed(_)));
    failed.map(|row| row.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_passes_crash_mode() {
    let rows = run_crash_mode(Disk::Honest).await;
    assert_eq!(rows.len(), crash::rules().len());
    for row in rows {
        assert_eq!(row.verdict, Verdict::Passed, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_acknowledges_before_durability_is_detected() {
    let failed = failed(&run_crash_mode(Disk::Lazy).await);
    for id in [
        "C2-nothing-acknowledged-is-lost",
        "C3-no-revision-is-used-twice",
        "C4-the-revision-never-decreases",
    ] {
        assert!(failed.contains(&id), "{id} is not among {failed:?}");
    }
}
