//! A gateway with its driver as a process that can be killed and started again.

use std::process::{Child, Command};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;

use crate::client::Client;
use crate::kubeconfig;
use crate::processes::Processes;
use crate::target::{Programs, start};

/// Number of replicas.
pub(super) const COUNT: usize = 3;
/// Connections of the load to each replica.
const CONNECTIONS: usize = 4;

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

    /// A client of the wanted replica or, if that is down, of the next; with the index of the
    /// replica.
    pub(super) async fn nearest(&self, wanted: usize) -> (usize, Arc<Client>) {
        loop {
            for index in (wanted..wanted + COUNT).map(|index| index % COUNT) {
                if let Some(client) = self.0[index].client.borrow().clone() {
                    return (index, client);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// A client of one replica; waits while the replica is down.
    pub(super) async fn client(&self, index: usize) -> Arc<Client> {
        let mut client = self.0[index].client.subscribe();
        loop {
            if let Some(client) = client.borrow_and_update().clone() {
                return client;
            }
            // The sender lives in `self`, so the channel cannot close.
            let _ = client.changed().await;
        }
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
        let endpoint = kubeconfig::load(&data.join("kubeconfig"))?;
        let client = Client::connect(&endpoint, CONNECTIONS).await?;
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
