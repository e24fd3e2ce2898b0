//! Helm, built from the Go module that the checks of the chart pin.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Result;
use tokio::process::Command;

use super::go_module::GoModule;
use crate::repository::Repository;

/// Finds the program in the cache, or builds it, which takes minutes.
///
/// # Errors
/// If it cannot be built.
pub async fn program(repository: &Repository, progress: impl Fn(&str)) -> Result<PathBuf> {
    let module = GoModule {
        folder: repository.root().join("acceptance/chart/helm"),
        sources: &["go.mod", "go.sum"],
        programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    };
    Ok(module.programs(progress).await?.join("helm"))
}

/// Whether `go` can be started, which builds Helm.
pub async fn go_is_installed() -> bool {
    let mut go = Command::new("go");
    go.arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    go.status().await.is_ok_and(|status| status.success())
}
