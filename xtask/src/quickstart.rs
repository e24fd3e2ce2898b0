//! `cargo xtask quickstart`: from a clone to `kubectl get queries` in one command.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{self, bin_dir, cargo, step};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder of the store, keys and kubeconfig [default: a temporary directory].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Continue to serve until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// Builds, serves, creates the sample Query and lists it.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Without jemalloc, whose C code the quickstart does not need.
    let build = [
        "build",
        "-p",
        "ark-apiserver",
        "-p",
        "backend-sqlite",
        "--no-default-features",
    ];
    step("build gateway and SQLite driver", &mut cargo(&build))?;
    let kubectl = kubectl()?;
    let scratch = tempfile::tempdir()?;
    let data_dir = options
        .data_dir
        .clone()
        .unwrap_or_else(|| scratch.path().join("data"));
    let mut server = Server::start(&data_dir)?;
    let kubectl = |args: &[&str]| {
        let mut command = run::command(&kubectl);
        command
            .arg("--kubeconfig")
            .arg(data_dir.join("kubeconfig"))
            .args(args);
        step(&format!("kubectl {}", args.join(" ")), &mut command)
    };
    kubectl(&["apply", "-f", "docs/samples/query.yaml"])?;
    kubectl(&["get", "queries"])?;
    if options.keep {
        println!(
            "serving until Ctrl-C: export KUBECONFIG={}",
            data_dir.join("kubeconfig").display()
        );
        ensure!(server.child.wait()?.success(), "ark-apiserver failed");
        return Ok(());
    }
    server.stop()
}

/// A running `ark-apiserver standalone`.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts it and waits for its `ready:` line.
    pub(crate) fn start(data_dir: &Path) -> Result<Self> {
        let program = bin_dir().join("ark-apiserver");
        let mut child = Command::new(&program)
            .args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let output = child.stdout.take().context("no stdout")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            if line.starts_with("ready:") {
                return Ok(Self { child });
            }
        }
        bail!(
            "ark-apiserver exited before it was ready: {}",
            child.wait()?
        )
    }

    /// Sends SIGINT, so that the server drains, and waits.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        step("stop", Command::new("kill").args(["-INT", &pid]))?;
        let status = self.child.wait()?;
        ensure!(
            status.success(),
            "ark-apiserver did not stop cleanly: {status}"
        );
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server still runs only if a step before `stop` failed.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// kubectl from the path, else the one that the scenario runner builds from its Go module.
fn kubectl() -> Result<PathBuf> {
    let found = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join("kubectl"))
        .find(|candidate| candidate.is_file());
    if let Some(found) = found {
        return Ok(found);
    }
    println!("==> no kubectl on the path: building it from its Go module");
    let output = cargo(&["run", "--quiet", "-p", "scenarios", "--", "tool", "kubectl"])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(
        output.status.success(),
        "kubectl not found: install kubectl or Go 1.26, then run this again"
    );
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
