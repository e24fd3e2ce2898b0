//! A control plane with ark-apiserver behind its aggregation layer.
//!
//! etcd, kube-apiserver with RBAC and the aggregation layer, optionally kube-controller-manager under
//! its service accounts, and a gateway with its driver. There is no kubelet: the gateway is a process
//! of this machine. Its Service has no selector, and an EndpointSlice names an address of the machine.
//! What the cluster knows of the gateway is rendered from the Helm chart.

pub mod control_plane;
pub mod gateway;
pub mod install;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use postgres_testkit::ports;
use serde_json::Value;

use self::control_plane::ControlPlane;
use self::gateway::Gateway;
use self::install::Release;
use super::kubeconfig::Kubeconfig;
use super::postgres::Postgres;
use super::process::Process;
use super::reference::Reference;
use crate::repository::{Repository, files_below};

/// What a cluster consists of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The checkout with the chart and the manifests.
    pub repository: &'a Repository,
    /// etcd, kube-apiserver and kubectl.
    pub reference: &'a Reference,
    /// kube-controller-manager, if it runs.
    pub controllers: Option<PathBuf>,
    /// Helm, which renders the chart.
    pub helm: PathBuf,
    /// Path of ark-apiserver; its drivers are beside it.
    pub program: PathBuf,
    /// Database of the gateway's driver; without one, a SQLite file.
    pub database: Option<&'a Postgres>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The gateway and its driver.
    pub gateway: Gateway,
    /// What the cluster knows of the gateway.
    pub release: Release,
    /// Servers of the control plane. Declared after the gateway, and so dropped after it.
    pub control_plane: ControlPlane,
}

impl Cluster {
    /// Starts the control plane, installs the release and starts the gateway's driver. The gateway
    /// itself does not run yet.
    ///
    /// # Errors
    /// If a part does not become ready ([`PortTaken`](super::process::PortTaken) if another process
    /// has its port), or if kube-apiserver rejects an object of the chart.
    pub async fn prepare(parts: Parts<'_>, folder: &Path) -> Result<Self> {
        let address = SocketAddr::new(address()?, ports::free()?);
        let mut control_plane = ControlPlane::start(parts.reference, folder).await?;
        let versions = served_versions(parts.repository)?;
        let helm = install::Chart {
            helm: parts.helm,
            chart: parts.repository.root().join("chart"),
            folder: folder.to_owned(),
        };
        let release = Release::install(&control_plane.client, helm, versions, address).await?;
        let kubeconfig = release.kubeconfig(&control_plane, folder).await?;
        if let Some(program) = &parts.controllers {
            control_plane.start_controllers(program)?;
        }
        let gateway = gateway::Options {
            program: parts.program,
            resources: parts.repository.test_kinds(),
            kubeconfig,
            address,
            dsn: parts.database.map(|database| database.dsn().to_owned()),
            readiness_probe: release.readiness_probe.clone(),
        };
        let gateway = Gateway::start_driver(gateway, &release.authority, folder)?;
        Ok(Self {
            gateway,
            release,
            control_plane,
        })
    }

    /// Starts the gateway, adds its address to the Service when it is ready, and waits until
    /// kube-apiserver considers every APIService available.
    ///
    /// # Errors
    /// If the gateway ends or is not ready in time.
    pub async fn start_gateway(&mut self) -> Result<()> {
        self.gateway.start_server()?;
        self.gateway.ready().await?;
        self.release.publish(&self.control_plane.client).await?;
        self.release
            .wait_available(&self.control_plane.client)
            .await
    }

    /// The processes in the order in which they must be stopped, and the administrator's kubeconfig.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Process>, Kubeconfig) {
        let (processes, kubeconfig) = self.control_plane.into_parts();
        let all = self.gateway.into_processes().into_iter().chain(processes);
        (all.collect(), kubeconfig)
    }
}

/// Group and version of every served kind of the test and of Ark.
fn served_versions(repository: &Repository) -> Result<Vec<(String, String)>> {
    let mut manifests = files_below(&repository.ark_kinds(), &["yaml"])?;
    manifests.extend(files_below(&repository.test_kinds(), &["yaml"])?);
    let mut versions = Vec::new();
    for file in manifests {
        let text = std::fs::read_to_string(&file)?;
        for definition in serde_saphyr::from_multiple::<Value>(&text)? {
            let spec = &definition["spec"];
            let group = spec["group"].as_str().unwrap_or_default();
            let all = spec["versions"].as_array().into_iter().flatten();
            for version in all.filter(|version| version["served"] == true) {
                let name = version["name"].as_str().unwrap_or_default();
                versions.push((group.to_owned(), name.to_owned()));
            }
        }
    }
    versions.sort();
    versions.dedup();
    Ok(versions)
}

/// An address of this machine that an EndpointSlice may have, which excludes loopback addresses.
fn address() -> Result<IpAddr> {
    // Connecting a UDP socket sends nothing: it only selects the source address. 192.0.2.1 is
    // reserved for documentation.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let address = socket
        .connect("192.0.2.1:9")
        .and_then(|()| socket.local_addr())
        .context("this machine has no route to other machines")?
        .ip();
    ensure!(
        !address.is_loopback() && !address.is_unspecified(),
        "this machine has no address except loopback, which an EndpointSlice must not contain: \
         add one, for example with `ip link add dummy0 type dummy`"
    );
    Ok(address)
}
