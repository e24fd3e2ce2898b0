//! A gateway with its driver as a process that can be killed and started again.

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ark_bench::processes::Processes;
use ark_bench::target::{Programs, start};
use async_trait::async_trait;
use kube_http::Kubeconfig;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use workload::http::{Client, Settings};

/// Number of replicas.
pub(super) const COUNT: usize = 3;
/// Pause while all replicas are down.
const ALL_DOWN: Duration = Duration::from_millis(5);

/// All replicas, as clients behind a load balancer reach them.
pub(super) struct Replicas(Vec<Replica>);

struct Replica {
    program: std::path::PathBuf,
    dsn: String,
    folder: TempDir,
    running: Mutex<Option<Running>>,
    /// `None` while the replica is down.
    client: watch::Sender<Option<Arc<Client>>>,
}

/// The process of a gateway; killed with its driver when dropped.
struct Running(Child);

// === impl Replicas ===

impl Replicas {
    /// Starts all replicas, each with its own data directory and certificates.
    pub(super) async fn start(programs: &Programs, dsn: &str) -> Result<Self> {
        let mut replicas = Vec::new();
        for _ in 0..COUNT {
            let replica = Replica {
                program: programs.path("ark-apiserver"),
                dsn: dsn.to_owned(),
                folder: tempfile::tempdir()?,
                running: Mutex::new(None),
                client: watch::Sender::new(None),
            };
            replica.start().await?;
            replicas.push(replica);
        }
        Ok(Self(replicas))
    }

    /// Sends SIGKILL to a gateway and its driver; returns when both serve again.
    pub(super) async fn kill_and_start(&self, index: usize) -> Result<()> {
        let replica = &self.0[index];
        let running = replica.running.lock().await.take();
        running.context("the replica is not running")?.kill()?;
        replica.client.send_replace(None);
        replica.start().await
    }

    /// Stops all replicas in an orderly way.
    pub(super) async fn stop(&self) -> Result<()> {
        for replica in &self.0 {
            if let Some(mut running) = replica.running.lock().await.take() {
                kill_process(Pid::from_child(&running.0), Signal::TERM)?;
                spawn_blocking(move || running.0.wait()).await??;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl workload::Servers for Replicas {
    /// The replica whose turn it is or, if that is down, the next.
    async fn connect(&self, turn: usize) -> (usize, Arc<dyn workload::Client>) {
        loop {
            for index in (turn..turn + COUNT).map(|index| index % COUNT) {
                if let Some(client) = self.0[index].client.borrow().clone() {
                    return (index, client);
                }
            }
            tokio::time::sleep(ALL_DOWN).await;
        }
    }

    fn count(&self) -> usize {
        COUNT
    }
}

// === impl Replica ===

impl Replica {
    async fn start(&self) -> Result<()> {
        let data = self.folder.path().join("data");
        let mut command = Command::new(&self.program);
        command
            .args(["standalone", "--listen", "127.0.0.1:0"])
            .args(["--backend", "postgres", "--data-dir"])
            .arg(&data)
            .env("ARK_POSTGRES_DSN", &self.dsn);
        let (child, _) = spawn_blocking(|| start(command, "ready: ")).await??;
        *self.running.lock().await = Some(Running(child));
        let config = Kubeconfig::load(&data.join("kubeconfig"))?;
        let settings = Settings {
            namespace: crate::NAMESPACE.to_owned(),
            filler: 640,
            watch_timeout: Duration::from_secs(60),
        };
        let client = Client::new(kube_http::Client::new(&config, true)?, settings);
        self.client.send_replace(Some(Arc::new(client)));
        Ok(())
    }
}

// === impl Running ===

impl Running {
    fn kill(&mut self) -> Result<()> {
        let mut pids = Processes::below(self.0.id(), true)?.pids()?;
        // The gateway first, so that it cannot react to the end of its driver.
        pids.sort_by_key(|pid| *pid != self.0.id());
        for pid in pids {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // Either process may exit with the other.
            let _ = kill_process(pid.context("a process")?, Signal::KILL);
        }
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // The error that dropped this has been reported.
            let _ = self.kill();
        }
    }
}
