//! Helm, built from its Go module.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use scenarios::engine::helm;
use scenarios::report::print_line;
use scenarios::repository::Repository;
use tempfile::TempDir;
use tokio::process::Command;

/// Namespace of the release in all cases.
pub(crate) const NAMESPACE: &str = "ark-system";

/// Helm and the chart.
#[derive(Debug)]
pub(crate) struct Helm {
    program: PathBuf,
    /// Root of the repository.
    pub(crate) root: PathBuf,
    /// Home directory and values files.
    folder: TempDir,
}

impl Helm {
    /// Finds Helm in the cache, or builds it, which takes minutes.
    ///
    /// # Errors
    /// If it cannot be built.
    pub(crate) async fn find(repository: &Repository) -> Result<Self> {
        Ok(Self {
            program: helm::program(repository, print_line).await?,
            root: repository.root().to_owned(),
            folder: tempfile::Builder::new().prefix("ark-chart-").tempdir()?,
        })
    }

    /// Renders the chart, without the pod of `helm test`, as `kubectl apply` would get it.
    ///
    /// # Errors
    /// With Helm's message, if it rejects the values.
    pub(crate) async fn template(&self, values: &[&str]) -> Result<String> {
        self.run("template", &["--skip-tests"], values).await
    }

    /// Renders the chart with the pod of `helm test`.
    ///
    /// # Errors
    /// With Helm's message, if it rejects the values.
    pub(crate) async fn template_with_tests(&self, values: &[&str]) -> Result<String> {
        self.run("template", &[], values).await
    }

    /// Runs `helm lint --strict`.
    ///
    /// # Errors
    /// With Helm's message, if it rejects the chart or the values.
    pub(crate) async fn lint(&self, values: &[&str]) -> Result<String> {
        self.run("lint", &["--strict"], values).await
    }

    async fn run(&self, command: &str, flags: &[&str], values: &[&str]) -> Result<String> {
        let mut helm = Command::new(&self.program);
        helm.arg(command);
        if command == "template" {
            helm.arg("ark");
        }
        helm.arg(self.root.join("chart"))
            .args(["--namespace", NAMESPACE])
            .args(flags)
            .env("HOME", self.folder.path())
            .env_remove("KUBECONFIG")
            .kill_on_drop(true);
        for (index, text) in values.iter().enumerate() {
            let file = self.folder.path().join(format!("values-{index}.yaml"));
            std::fs::write(&file, text).with_context(|| file.display().to_string())?;
            helm.arg("--values").arg(file);
        }
        let output = helm.output().await.context("cannot start helm")?;
        let decode = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            bail!("{}{}", decode(&output.stdout), decode(&output.stderr));
        }
        Ok(decode(&output.stdout))
    }
}
