//! The cluster that the checks share.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube_http::Client;
use scenarios::engine::cluster::{Cluster, Parts};
use scenarios::engine::postgres::Postgres;
use scenarios::engine::process::{PortTaken, Signal};
use scenarios::engine::reference::Reference;
use scenarios::engine::{Backend, UnderTest, helm};
use scenarios::report::print_line;
use scenarios::repository::Repository;
use serde_json::json;
use tempfile::TempDir;

use crate::call::Call;
use crate::crds::{self, OURS};
use crate::poll::until;

/// Attempts to start a cluster whose ports another process takes first.
const MAX_PORT_ATTEMPTS: usize = 3;

const OPENAPI_TIMEOUT: Duration = Duration::from_secs(60);

/// The shared cluster.
#[derive(Debug)]
pub(crate) struct World {
    /// Client of the administrator, through kube-apiserver.
    pub(crate) admin: Client,
    pub(crate) cluster: Cluster,
    pub(crate) reference: Reference,
    /// Time from the start of the gateway until all its APIServices were available.
    pub(crate) available_after: Duration,
    /// Length of kube-apiserver's log when it had collected OpenAPI documents of the gateway.
    pub(crate) logged_before: usize,
    // Dropped after the processes that use them.
    database: Option<Postgres>,
    pub(crate) folder: TempDir,
}

impl World {
    /// Starts the control plane, CRDs that are equal to the gateway's kinds, and the gateway.
    ///
    /// # Errors
    /// If a part cannot be built or does not become ready.
    pub(crate) async fn start(under_test: &UnderTest) -> Result<Self> {
        for _ in 1..MAX_PORT_ATTEMPTS {
            match Self::try_start(under_test).await {
                Err(error) if error.is::<PortTaken>() => print_line(&format!("{error:#}")),
                done => return done,
            }
        }
        Self::try_start(under_test).await
    }

    async fn try_start(under_test: &UnderTest) -> Result<Self> {
        let repository = Repository::find()?;
        let reference = Reference::find(&repository, print_line).await?;
        let controllers = Reference::controller_manager(&repository, print_line).await?;
        let folder = tempfile::Builder::new().prefix("ark-cluster-").tempdir()?;
        std::fs::create_dir(folder.path().join("home"))?;
        let database = match under_test.backend {
            Some(Backend::Postgres) => Some(Postgres::start().await?),
            Some(Backend::Sqlite) | None => None,
        };
        let parts = Parts {
            repository: &repository,
            reference: &reference,
            controllers: Some(controllers),
            helm: helm::program(&repository, print_line).await?,
            program: under_test.program()?,
            database: database.as_ref(),
        };
        let mut cluster = Cluster::prepare(parts, folder.path()).await?;
        let admin = cluster.control_plane.client.clone();
        crds::define(&admin, &repository).await?;
        let began = Instant::now();
        cluster.start_gateway().await?;
        let available_after = began.elapsed();
        wait_for_openapi(&admin).await?;
        Ok(Self {
            available_after,
            logged_before: cluster.control_plane.server_log()?.len(),
            admin,
            cluster,
            reference,
            database,
            folder,
        })
    }

    /// Writes the administrator's kubeconfig.
    pub(crate) fn admin_kubeconfig(&self) -> Result<PathBuf> {
        let file = self.folder.path().join("admin.kubeconfig");
        let kubeconfig = &self.cluster.control_plane.kubeconfig;
        kubeconfig.save(&file, "default").context("kubeconfig")
    }

    /// Creates a namespace.
    pub(crate) async fn namespace(&self, name: &str) -> Result<()> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let call = Call::new("POST", "/api/v1/namespaces").body(&object);
        call.json(&self.admin).await?;
        Ok(())
    }

    /// The reason why a server has ended; `None` while all run.
    pub(crate) fn failure(&mut self) -> Option<String> {
        let database = self.database.as_mut().and_then(Postgres::ended);
        let cluster = &mut self.cluster;
        database
            .or_else(|| cluster.gateway.failure())
            .or_else(|| cluster.control_plane.failure())
    }

    /// Makes the cluster usable for the next check after one has failed.
    ///
    /// # Errors
    /// If the gateway does not become available again.
    pub(crate) async fn recover(&mut self) -> Result<()> {
        let gateway = &mut self.cluster.gateway;
        gateway.driver().signal(Signal::CONT);
        gateway.ready().await?;
        let admin = &self.admin;
        self.cluster.release.wait_available(admin).await
    }

    /// Stops all processes in order.
    pub(crate) async fn stop(self) {
        let (processes, _) = self.cluster.into_parts();
        for mut process in processes {
            process.stop().await;
        }
        if let Some(database) = self.database
            && let Err(error) = database.stop().await
        {
            print_line(&format!("{error:#}"));
        }
    }
}

/// Waits until kube-apiserver has OpenAPI documents of our group. Before, it logs attempts to collect
/// them from an APIService that has just become available.
async fn wait_for_openapi(admin: &Client) -> Result<()> {
    let wanted = format!("apis/{OURS}/v1");
    until(OPENAPI_TIMEOUT, async || {
        let index = Call::new("GET", "/openapi/v3").json(admin).await?;
        Ok(if index["paths"][&wanted].is_object() {
            Ok(())
        } else {
            Err(format!("/openapi/v3 lacks {wanted}"))
        })
    })
    .await?;
    Ok(())
}
