//! What kube-apiserver keeps its objects in.

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

/// kine's connections to its database. Unbounded, as it comes, it wants more under load than
/// PostgreSQL's default of 100, and acknowledges creates that were never stored when refused. All are
/// kept, because making one costs more than a write.
const KINE_CONNECTIONS: usize = 64;

/// A running store that speaks etcd's protocol.
#[derive(Debug)]
pub struct Store {
    /// Its process, and where that logs.
    pub process: Process,
    /// What kube-apiserver is told.
    pub url: String,
}

/// Starts etcd with its data below `folder`.
///
/// # Errors
/// When it cannot be started.
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
/// When it cannot be built or started.
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
