//! The stores of kube-apiserver.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Result;
use postgres_testkit::ports;
use tokio::process::Command;

use super::go_module::GoModule;
use super::postgres::Postgres;
use super::process::Process;
use super::reference::Reference;
use crate::repository::Repository;

/// kine's connections to its database. kine has no limit by default: under load it opens more than
/// PostgreSQL's default of 100, and then acknowledges creates that were rejected and never stored.
/// Idle connections stay open, because opening one costs more than a write.
const KINE_CONNECTIONS: usize = 64;

/// A running store that serves the etcd API.
#[derive(Debug)]
pub struct Store {
    /// Its process.
    pub process: Process,
    /// Value for kube-apiserver's `--etcd-servers`.
    pub url: String,
}

/// Starts etcd with its data in `folder`.
///
/// # Errors
/// If etcd cannot be started.
pub fn etcd(reference: &Reference, folder: &Path) -> Result<Store> {
    let url = format!("http://127.0.0.1:{}", ports::free()?);
    let mut command = Command::new(&reference.etcd);
    command
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .args(["--listen-peer-urls=http://127.0.0.1:0", "--log-level=error"])
        .stdout(Stdio::null());
    let process = Process::start("etcd", &mut command, &folder.join("etcd.log"))?;
    Ok(Store { process, url })
}

/// Starts kine on a database.
///
/// # Errors
/// If kine cannot be built or started.
pub async fn kine(
    repository: &Repository,
    database: &Postgres,
    folder: &Path,
    progress: impl Fn(&str),
) -> Result<Store> {
    let program = find_kine(repository, progress).await?;
    let address = format!("127.0.0.1:{}", ports::free()?);
    let mut command = Command::new(program);
    command
        .arg(format!("--listen-address={address}"))
        .arg("--metrics-bind-address=0")
        .arg(format!(
            "--datastore-max-open-connections={KINE_CONNECTIONS}"
        ))
        .arg(format!(
            "--datastore-max-idle-connections={KINE_CONNECTIONS}"
        ))
        .env("KINE_ENDPOINT", database.dsn())
        .current_dir(folder)
        .stdout(Stdio::null());
    let process = Process::start("kine", &mut command, &folder.join("kine.log"))?;
    let url = format!("http://{address}");
    Ok(Store { process, url })
}

async fn find_kine(repository: &Repository, progress: impl Fn(&str)) -> Result<PathBuf> {
    let module = GoModule {
        folder: repository.kine_module(),
        sources: &["go.mod", "go.sum"],
        programs: &[("kine", "github.com/k3s-io/kine")],
    };
    Ok(module.programs(progress).await?.join("kine"))
}
