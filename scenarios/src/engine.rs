//! The servers that run scenarios.

pub mod certificates;
pub mod cluster;
pub mod go_module;
pub mod helm;
pub mod kube_apiserver;
pub mod postgres;
pub mod process;
pub mod reference;
pub mod standalone;
pub mod store;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
pub use kube_http::{client, kubeconfig};
use serde_json::json;
use tempfile::TempDir;

use self::client::Client;
use self::kubeconfig::Kubeconfig;
use self::postgres::Postgres;
use self::process::{PortTaken, Process};
use self::reference::Reference;
use crate::audit::Files;
use crate::report::print_line;
use crate::repository::{Repository, files_below};

/// Attempts to start a server whose chosen ports another process takes first.
const MAX_PORT_ATTEMPTS: usize = 3;

/// Kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// kube-apiserver on etcd, the reference.
    KubeApiserver,
    /// kube-apiserver on kine and a temporary PostgreSQL server.
    KinePostgres,
    /// `ark-apiserver standalone`.
    Standalone,
    /// `ark-apiserver serve` behind the aggregation layer of a kube-apiserver.
    Cluster,
}

impl Kind {
    /// Whether ark-apiserver serves the kinds.
    #[must_use]
    pub fn is_under_test(self) -> bool {
        matches!(self, Self::Standalone | Self::Cluster)
    }
}

/// The program under test.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct UnderTest {
    /// Path of ark-apiserver [default: the program beside this one].
    #[arg(long, value_name = "FILE")]
    pub standalone_bin: Option<PathBuf>,
    /// Storage driver of ark-apiserver [default: sqlite].
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Files of the audit events that the servers record, one each.
    #[arg(skip)]
    pub audit: Option<Files>,
}

impl UnderTest {
    /// The program.
    ///
    /// # Errors
    /// If the default does not exist.
    pub fn program(&self) -> Result<PathBuf> {
        let configured = self.standalone_bin.clone();
        configured.map_or_else(standalone::default_program, Ok)
    }
}

/// Storage of ark-apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// A SQLite file.
    Sqlite,
    /// A temporary PostgreSQL server.
    Postgres,
}

/// A running server.
#[derive(Debug)]
pub struct Engine {
    /// Its name in reports.
    pub name: String,
    /// Address and credentials.
    pub kubeconfig: Kubeconfig,
    /// Client with the administrator's certificate.
    pub client: Client,
    /// Client without a certificate.
    pub anonymous: Client,
    /// The kubectl to use.
    pub kubectl: PathBuf,
    /// Whether requests pass the aggregation layer.
    pub aggregated: bool,
    processes: Vec<Process>,
    // Dropped after the processes that use it.
    database: Option<Postgres>,
    // Dropped after every process that writes there.
    folder: TempDir,
    has_namespaces: bool,
}

impl Engine {
    /// Starts a server with the kinds of `repository`. Starts it again with other ports if another
    /// process took a port between its choice and the bind.
    ///
    /// # Errors
    /// If the server does not become ready.
    pub async fn start(
        kind: Kind,
        repository: &Repository,
        reference: &Reference,
        under_test: &UnderTest,
    ) -> Result<Self> {
        for _ in 1..MAX_PORT_ATTEMPTS {
            match Self::try_start(kind, repository, reference, under_test).await {
                Err(error) if error.is::<PortTaken>() => print_line(&format!("{error:#}")),
                done => return done,
            }
        }
        Self::try_start(kind, repository, reference, under_test).await
    }

    async fn try_start(
        kind: Kind,
        repository: &Repository,
        reference: &Reference,
        under_test: &UnderTest,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("scenarios-").tempdir()?;
        let path = folder.path();
        let flags = under_test.audit.as_ref().map(Files::flags);
        let flags = flags.unwrap_or_default();
        let postgres = kind == Kind::KinePostgres
            || kind.is_under_test() && under_test.backend == Some(Backend::Postgres);
        let database = if postgres {
            Some(Postgres::start().await?)
        } else {
            None
        };
        let (name, (processes, kubeconfig)) = match (kind, &database) {
            (Kind::Standalone, database) => {
                let program = under_test.program()?;
                let kinds = repository.test_kinds();
                let started = standalone::start(&program, path, &kinds, database.as_ref(), &flags);
                ("standalone", started.await?)
            }
            (Kind::Cluster, database) => {
                let parts = cluster::Parts {
                    repository,
                    reference,
                    // The reference has no controllers either: they change and delete objects.
                    controllers: None,
                    helm: helm::program(repository, print_line).await?,
                    program: under_test.program()?,
                    database: database.as_ref(),
                };
                let mut cluster = cluster::Cluster::prepare(parts, path).await?;
                cluster.start_gateway().await?;
                ("cluster", cluster.into_parts())
            }
            (_, Some(database)) => {
                let store = store::kine(repository, database, path, print_line).await?;
                let manifests = manifests(repository)?;
                let started = kube_apiserver::start(reference, store, path, &manifests);
                ("kube-apiserver on kine", started.await?.into_parts())
            }
            (_, None) => {
                let store = store::etcd(reference, path)?;
                let manifests = manifests(repository)?;
                let started =
                    kube_apiserver::start_with(reference, store, path, &manifests, &flags);
                ("kube-apiserver", started.await?.into_parts())
            }
        };
        let kubectl = reference.kubectl.clone();
        let mut engine = Self::assemble(name, kubeconfig, processes, folder, kubectl).await?;
        engine.database = database;
        engine.aggregated = kind == Kind::Cluster;
        Ok(engine)
    }

    /// Uses a server that is already running.
    ///
    /// # Errors
    /// If the kubeconfig cannot be read.
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
            aggregated: false,
            processes,
            database: None,
            folder,
            has_namespaces: core.status().is_success(),
        })
    }

    /// Path of the administrator's kubeconfig, for manual use.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.folder.path().join("admin.kubeconfig")
    }

    /// The home directory of kubectl, which has its discovery cache.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Creates the namespace if the server has namespaces and lacks this one.
    ///
    /// # Errors
    /// If the server has namespaces and rejects this one.
    pub async fn prepare_namespace(&self, name: &str) -> Result<()> {
        if !self.has_namespaces {
            return Ok(());
        }
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let (status, response) = self
            .client
            .json("POST", "/api/v1/namespaces", Some(&body))
            .await?;
        ensure!(
            matches!(status, 201 | 409),
            "namespace {name}: {}",
            response["message"]
        );
        Ok(())
    }

    /// Stops the server's processes in order.
    pub async fn stop(mut self) {
        for process in &mut self.processes {
            process.stop().await;
        }
        if let Some(database) = self.database.take()
            && let Err(error) = database.stop().await
        {
            print_line(&format!("{error:#}"));
        }
    }

    /// The reason why the server has ended; `None` while it runs.
    pub fn failure(&mut self) -> Option<String> {
        let ended = self.processes.iter_mut().find_map(Process::ended);
        ended.or_else(|| self.database.as_mut().and_then(Postgres::ended))
    }
}

/// Manifests of all kinds, for kube-apiserver, which has none of them built in.
fn manifests(repository: &Repository) -> Result<Vec<PathBuf>> {
    let mut manifests = files_below(&repository.ark_kinds(), &["yaml"])?;
    manifests.extend(files_below(&repository.test_kinds(), &["yaml"])?);
    Ok(manifests)
}
