//! Child processes that never outlive the runner.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Error, Result};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};

/// A server failed because another process uses its port; it can start with another one.
#[derive(Debug)]
pub struct PortTaken(String);

/// A server started by the runner; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// Length of the log when the process was started.
    logged_before: usize,
}

impl Process {
    /// Starts `command` with standard error written to `log`. The process has its own group, so
    /// that Ctrl-C reaches only the runner, which then stops its children in order.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        // Appended to, because a test may start the process again.
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| log.display().to_string())?;
        let logged_before = usize::try_from(file.metadata()?.len())?;
        let child = command
            .stdin(Stdio::null())
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name,
            child,
            log: log.to_owned(),
            logged_before,
        })
    }

    /// Path of its standard error.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The exit status as text if the process has ended.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended: {status}", self.name))
    }

    /// The reason why the process has ended, if it has: [`PortTaken`], or the end of its log.
    pub fn failure(&mut self) -> Option<Error> {
        let message = format!("{}\n{}", self.ended()?, tail(&self.log));
        let log = std::fs::read(&self.log).unwrap_or_default();
        let own = log.get(self.logged_before..).unwrap_or_default();
        if is_port_taken(own) {
            return Some(PortTaken(message).into());
        }
        Some(Error::msg(message))
    }

    /// Sends a signal; does nothing if the process has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok())
            && let Some(pid) = Pid::from_raw(pid)
        {
            // The process may have exited already.
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends SIGKILL and waits.
    ///
    /// # Errors
    /// If the process cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context(self.name)
    }

    /// Sends SIGTERM, and SIGKILL after ten seconds.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(Duration::from_secs(10), self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}

impl fmt::Display for PortTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PortTaken {}

/// Whether the log of a failed server shows that another process uses its port.
#[must_use]
pub fn is_port_taken(log: &[u8]) -> bool {
    let log = String::from_utf8_lossy(log).to_lowercase();
    log.contains("address already in use")
}

/// The last lines of a log, for error messages.
#[must_use]
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failure_distinguishes_a_taken_port() {
        let folder = tempfile::tempdir().expect("a directory");
        for (message, taken) in [
            ("listen tcp 127.0.0.1:1: bind: address already in use", true),
            ("cannot listen: Address already in use (os error 98)", true),
            ("no such flag", false),
        ] {
            let mut command = Command::new("sh");
            command.args(["-c", "echo \"$0\" >&2; exit 1", message]);
            let log = folder.path().join("log");
            let mut process = Process::start("sh", &mut command, &log).expect("a shell");
            process.child.wait().await.expect("an end");
            let failure = process.failure().expect("it ended");
            assert_eq!(failure.is::<PortTaken>(), taken, "{failure}");
            assert!(failure.to_string().contains(message), "{failure}");
        }
    }
}
