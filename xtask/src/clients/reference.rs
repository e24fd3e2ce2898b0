//! The reference: a kube-apiserver with the kinds of the scenarios.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{self, bin_dir};

/// The running scenario runner, which owns the server.
pub(super) struct Reference(Child);

impl Reference {
    /// Starts a server, and returns it with its kubeconfig.
    pub(super) fn start() -> Result<(Self, PathBuf)> {
        let mut runner = run::command(bin_dir().join("scenarios"))
            .args(["up", "--engine", "kube-apiserver"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the scenario runner")?;
        let output = runner.stdout.take().context("no stdout")?;
        let reference = Self(runner);
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            if let Some(kubeconfig) = line.strip_prefix("export KUBECONFIG=") {
                return Ok((reference, PathBuf::from(kubeconfig)));
            }
        }
        bail!("the reference ended before it was ready")
    }

    /// Stops the server.
    pub(super) fn stop(&mut self) -> Result<()> {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status()?;
        ensure!(sent.success(), "cannot stop the reference: {sent}");
        // It reports the interruption as an error.
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It still runs only if a program failed.
        if let Ok(None) = self.0.try_wait() {
            let _ = self.stop();
        }
    }
}
