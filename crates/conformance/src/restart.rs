//! Restarts of a driver on its data.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};

use crate::process::{Process, ProcessUnderTest as _, ready};
use backend_client::Endpoint;

/// A driver that can be killed and started again on the same data.
#[async_trait]
pub trait Restarts: Send + Sync {
    /// Kills the driver with SIGKILL, and starts it on the same data. Returns when it serves.
    async fn restart(&self) -> Result<(), String>;

    /// As [`Restarts::restart`]; the system calls of the new process are traced to a file, see
    /// [`crate::flushes`]. Returns the path of its output, or `None` if it cannot be traced.
    async fn restart_traced(&self, _trace: &Path) -> Result<Option<PathBuf>, String> {
        Ok(None)
    }

    /// Starts the driver again if it has ended by itself, and returns the message of its end.
    ///
    /// # Errors
    /// If it does not start.
    async fn revive(&self) -> Result<Option<String>, String> {
        Ok(None)
    }
}

/// A process that serves an endpoint, and its restarts.
#[derive(Debug)]
pub struct Supervised {
    process: Mutex<Process>,
    log: PathBuf,
    endpoint: Endpoint,
}

// === impl Supervised ===

impl Supervised {
    /// Starts a process; returns when it serves.
    ///
    /// # Errors
    /// If it does not serve in time.
    pub async fn start(mut process: Process, endpoint: &Endpoint) -> Result<Self, String> {
        process.start().await?;
        ready(&mut process, endpoint).await?;
        Ok(Self {
            log: process.log().to_owned(),
            process: Mutex::new(process),
            endpoint: endpoint.clone(),
        })
    }

    /// Returns the process, for checks of its end. No restart is possible meanwhile.
    pub async fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().await
    }

    /// Returns the path of the driver's output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    async fn start_again(&self, process: &mut Process) -> Result<(), String> {
        process.start().await?;
        ready(process, &self.endpoint).await
    }
}

#[async_trait]
impl Restarts for Supervised {
    async fn restart(&self) -> Result<(), String> {
        let mut process = self.process.lock().await;
        process.kill().await?;
        self.start_again(&mut process).await
    }

    async fn restart_traced(&self, trace: &Path) -> Result<Option<PathBuf>, String> {
        let mut process = self.process.lock().await;
        process.kill().await?;
        process.trace_to(Some(trace.to_owned()));
        let started = self.start_again(&mut process).await;
        process.trace_to(None);
        started.map(|()| Some(self.log.clone()))
    }

    async fn revive(&self) -> Result<Option<String>, String> {
        let mut process = self.process.lock().await;
        let Some(why) = process.ended() else {
            return Ok(None);
        };
        self.start_again(&mut process).await?;
        Ok(Some(why))
    }
}
