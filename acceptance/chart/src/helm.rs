//! Helm, built from its Go module.

use std::path::{Path, PathBuf};

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

    /// Runs a command on a cluster; the argument `CHART` stands for the chart.
    ///
    /// # Errors
    /// With Helm's message, if it fails.
    pub(crate) async fn release(
        &self,
        kubeconfig: &Path,
        command: &[&str],
        values: &[&str],
    ) -> Result<()> {
        let chart = self.chart_for_any_version().await?;
        let mut helm = self.command();
        helm.arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", NAMESPACE]);
        for argument in command {
            if *argument == "CHART" {
                helm.arg(&chart);
            } else {
                helm.arg(argument);
            }
        }
        self.add_values(&mut helm, values)?;
        output(&mut helm).await.map(drop)
    }

    /// A copy of the chart without `kubeVersion`: the reference kube-apiserver is built without a
    /// version.
    async fn chart_for_any_version(&self) -> Result<PathBuf> {
        let copy = self.folder.path().join("chart");
        if !copy.exists() {
            let mut cp = Command::new("cp");
            cp.arg("-r").arg(self.root.join("chart")).arg(&copy);
            output(&mut cp).await?;
            let file = copy.join("Chart.yaml");
            let text = std::fs::read_to_string(&file)?;
            let lines = text
                .lines()
                .filter(|line| !line.starts_with("kubeVersion:"));
            std::fs::write(&file, lines.collect::<Vec<_>>().join("\n"))?;
        }
        Ok(copy)
    }

    fn command(&self) -> Command {
        let mut helm = Command::new(&self.program);
        helm.env("HOME", self.folder.path())
            .env_remove("KUBECONFIG")
            .kill_on_drop(true);
        helm
    }

    fn add_values(&self, helm: &mut Command, values: &[&str]) -> Result<()> {
        for (index, text) in values.iter().enumerate() {
            let file = self.folder.path().join(format!("values-{index}.yaml"));
            std::fs::write(&file, text).with_context(|| file.display().to_string())?;
            helm.arg("--values").arg(file);
        }
        Ok(())
    }

    async fn run(&self, command: &str, flags: &[&str], values: &[&str]) -> Result<String> {
        let mut helm = self.command();
        helm.arg(command);
        if command == "template" {
            helm.arg("ark");
        }
        helm.arg(self.root.join("chart"))
            .args(["--namespace", NAMESPACE])
            .args(flags);
        self.add_values(&mut helm, values)?;
        output(&mut helm).await
    }
}

/// Runs a program; returns its output.
async fn output(command: &mut Command) -> Result<String> {
    let output = command.output().await.context("cannot start a program")?;
    let decode = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        bail!("{}{}", decode(&output.stdout), decode(&output.stderr));
    }
    Ok(decode(&output.stdout))
}
