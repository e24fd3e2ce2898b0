//! The servers that scenarios are played against.

pub mod certificates;
pub mod kube_apiserver;
pub mod process;
pub mod reference;
pub mod standalone;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
pub use kube_http::{client, kubeconfig};
use serde_json::json;
use tempfile::TempDir;

use self::client::Client;
use self::kubeconfig::Kubeconfig;
use self::process::Process;
use self::reference::Reference;
use crate::repository::{Repository, files_below};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// etcd and kube-apiserver.
    KubeApiserver,
    /// `ark-apiserver standalone`.
    Standalone,
}

/// A running server.
#[derive(Debug)]
pub struct Engine {
    /// Its name in reports.
    pub name: String,
    /// How to reach it.
    pub kubeconfig: Kubeconfig,
    /// With the admin's certificate.
    pub client: Client,
    /// Without any.
    pub anonymous: Client,
    /// The kubectl to use.
    pub kubectl: PathBuf,
    processes: Vec<Process>,
    // Dropped after the processes that write there.
    folder: TempDir,
    has_namespaces: bool,
}

impl Engine {
    /// Starts a server with the kinds of `repository`.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(
        kind: Kind,
        repository: &Repository,
        reference: &Reference,
        standalone: Option<&Path>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("scenarios-").tempdir()?;
        let (name, (processes, kubeconfig)) = match kind {
            Kind::KubeApiserver => {
                let mut manifests = files_below(&repository.ark_kinds(), &["yaml"])?;
                manifests.extend(files_below(&repository.test_kinds(), &["yaml"])?);
                let started = kube_apiserver::start(reference, folder.path(), &manifests).await?;
                ("kube-apiserver", (started.processes, started.kubeconfig))
            }
            Kind::Standalone => {
                let program = standalone.map_or_else(standalone::beside_me, |p| Ok(p.into()))?;
                let kinds = repository.test_kinds();
                (
                    "standalone",
                    standalone::start(&program, folder.path(), &kinds).await?,
                )
            }
        };
        Self::assemble(
            name,
            kubeconfig,
            processes,
            folder,
            reference.kubectl.clone(),
        )
        .await
    }

    /// Uses a server that runs already.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn connect(kubeconfig: &Path, kubectl: PathBuf) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("scenarios-").tempdir()?;
        let name = kubeconfig.display().to_string();
        let kubeconfig = Kubeconfig::load(kubeconfig)?;
        Self::assemble(&name, kubeconfig, Vec::new(), folder, kubectl).await
    }

    async fn assemble(
        name: &str,
        kubeconfig: Kubeconfig,
        processes: Vec<Process>,
        folder: TempDir,
        kubectl: PathBuf,
    ) -> Result<Self> {
        let client = Client::new(&kubeconfig, true)?;
        let anonymous = Client::new(&kubeconfig, false)?;
        let path = "/api/v1/namespaces?limit=1";
        let core = client.send("GET", path, &[], bytes::Bytes::new()).await?;
        std::fs::create_dir(folder.path().join("home"))?;
        kubeconfig.save(&folder.path().join("admin.kubeconfig"), "default")?;
        Ok(Self {
            name: name.to_owned(),
            kubeconfig,
            client,
            anonymous,
            kubectl,
            processes,
            folder,
            has_namespaces: core.status().is_success(),
        })
    }

    /// A kubeconfig for people.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.folder.path().join("admin.kubeconfig")
    }

    /// The home of kubectl, where it keeps its discovery cache.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Makes sure that objects can be written to the namespace.
    ///
    /// # Errors
    /// When the server has namespaces and refuses this one.
    pub async fn prepare_namespace(&self, name: &str) -> Result<()> {
        if !self.has_namespaces {
            return Ok(());
        }
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let (status, answer) = self
            .client
            .json("POST", "/api/v1/namespaces", Some(&body))
            .await?;
        ensure!(
            matches!(status, 201 | 409),
            "namespace {name}: {}",
            answer["message"]
        );
        Ok(())
    }

    /// Stops the server's processes in order.
    pub async fn stop(mut self) {
        for process in &mut self.processes {
            process.stop().await;
        }
    }

    /// Says why the server has ended, when it has.
    pub fn failure(&mut self) -> Option<String> {
        self.processes.iter_mut().find_map(Process::ended)
    }
}
