//! The server under test: `ark-apiserver standalone`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;

use super::kubeconfig::Kubeconfig;
use super::postgres::Postgres;
use super::process::{Process, tail};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts `program` with its data in `folder`, the kinds of `resources`, and its objects in
/// `database` or else in SQLite, and with further `flags`.
///
/// # Errors
/// If it ends or does not become ready in time.
pub async fn start(
    program: &Path,
    folder: &Path,
    resources: &Path,
    database: Option<&Postgres>,
    flags: &[String],
) -> Result<(Vec<Process>, Kubeconfig)> {
    let kubeconfig = folder.join("kubeconfig");
    let (output, log) = (folder.join("standalone.out"), folder.join("standalone.log"));
    let mut command = Command::new(program);
    command
        .arg("standalone")
        .arg("--data-dir")
        .arg(folder.join("data"))
        // The reference has no controllers either: they change and delete objects.
        .args([
            "--listen",
            "127.0.0.1:0",
            "--no-controllers",
            "--kubeconfig",
        ])
        .arg(&kubeconfig)
        .arg("--resources")
        .arg(resources)
        .args(flags)
        .stdout(std::fs::File::create(&output)?);
    if let Some(database) = database {
        command
            .args(["--backend", "postgres"])
            .env("ARK_POSTGRES_DSN", database.dsn());
    }
    let mut process = Process::start("ark-apiserver", &mut command, &log)?;
    let deadline = Instant::now() + START_TIMEOUT;
    while !std::fs::read_to_string(&output)?
        .lines()
        .any(|line| line.starts_with("ready:"))
    {
        if let Some(failure) = process.failure() {
            return Err(failure);
        }
        ensure!(
            Instant::now() < deadline,
            "ark-apiserver is not ready after {START_TIMEOUT:?}:\n{}",
            tail(&log)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((vec![process], Kubeconfig::load(&kubeconfig)?))
}

/// The program in the runner's own folder, where `cargo build` puts it.
///
/// # Errors
/// If the program does not exist.
pub fn default_program() -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot determine the path of this program")?;
    let program = me.with_file_name("ark-apiserver");
    if !program.is_file() {
        bail!(
            "{} does not exist: build it or set --standalone-bin",
            program.display()
        );
    }
    Ok(program)
}
