//! etcd, kube-apiserver and kube-controller-manager.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use postgres_testkit::ports;
use tokio::process::Command;

use super::super::certificates::{Authority, Certificates, Subject};
use super::super::client::Client;
use super::super::kube_apiserver;
use super::super::kubeconfig::Kubeconfig;
use super::super::process::Process;
use super::super::reference::Reference;
use super::super::store;

/// Common name of the aggregator's certificate, the only one that is allowed.
pub const FRONT_PROXY: &str = "front-proxy-client";

/// The servers of a cluster.
#[derive(Debug)]
pub struct ControlPlane {
    /// Client of the administrator.
    pub client: Client,
    /// The administrator's kubeconfig.
    pub kubeconfig: Kubeconfig,
    /// Signs the certificates of users.
    pub users: Authority,
    /// Signs the aggregator's certificate.
    pub front_proxies: Authority,
    /// kube-controller-manager.
    controllers: Option<Process>,
    /// kube-apiserver.
    server: Process,
    etcd: Process,
    reference: Reference,
    certificates: Certificates,
    folder: PathBuf,
    store: String,
    port: u16,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver with files in `folder`, and waits until they are ready.
    ///
    /// # Errors
    /// If a server ends or does not become ready in time.
    pub async fn start(reference: &Reference, folder: &Path) -> Result<Self> {
        let users = Authority::new("cluster-ca")?;
        let front_proxies = Authority::new("front-proxy-ca")?;
        let certificates = Certificates::issue(&users, &[], folder)?;
        let etcd = store::etcd(reference, folder)?;
        let port = ports::free()?;
        let kubeconfig = certificates.kubeconfig(port)?;
        write_front_proxy_authorities(folder, &[&front_proxies])?;
        write_front_proxy_certificate(folder, &front_proxies)?;
        let mut command = command(reference, folder, &certificates, &etcd.url, port);
        let server = start("kube-apiserver", &mut command, folder)?;
        let mut started = Self {
            client: Client::new(&kubeconfig, true)?,
            kubeconfig,
            users,
            front_proxies,
            controllers: None,
            server,
            etcd: etcd.process,
            reference: reference.clone(),
            certificates,
            folder: folder.to_owned(),
            store: etcd.url,
            port,
        };
        started.ready().await?;
        Ok(started)
    }

    /// Starts kube-controller-manager. Each controller uses its own service account.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_controllers(&mut self, program: &Path) -> Result<()> {
        let user = self.users.issue(&Subject {
            name: "system:kube-controller-manager",
            ..Subject::default()
        })?;
        let kubeconfig = self.kubeconfig_of(&user.certificate, &user.key);
        let file = self.folder.join("controllers.kubeconfig");
        kubeconfig.save(&file, "default")?;
        let mut command = Command::new(program);
        command
            .args(["--use-service-account-credentials", "--leader-elect=false"])
            // Its own probes and metrics are not used.
            .arg("--secure-port=0")
            .arg(flag("kubeconfig", &file))
            .arg(flag("root-ca-file", &self.certificates.ca))
            .arg(flag(
                "service-account-private-key-file",
                &self.certificates.server_key,
            ));
        let process = start("kube-controller-manager", &mut command, &self.folder)?;
        self.controllers = Some(process);
        Ok(())
    }

    /// A kubeconfig with another client certificate.
    #[must_use]
    pub fn kubeconfig_of(&self, certificate: &str, key: &str) -> Kubeconfig {
        Kubeconfig {
            certificate: certificate.into(),
            key: key.into(),
            ..self.kubeconfig.clone()
        }
    }

    /// Kills kube-apiserver; etcd keeps running.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill_server(&mut self) -> Result<()> {
        self.server.kill().await
    }

    /// Starts kube-apiserver again after [`Self::kill_server`], at the same port.
    ///
    /// # Errors
    /// If it does not become ready in time.
    pub async fn start_server(&mut self) -> Result<()> {
        let mut command = command(
            &self.reference,
            &self.folder,
            &self.certificates,
            &self.store,
            self.port,
        );
        self.server = start("kube-apiserver", &mut command, &self.folder)?;
        self.ready().await
    }

    /// Address of etcd.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The log of kube-apiserver, of all its runs.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn server_log(&self) -> Result<String> {
        let log = std::fs::read(self.server.log()).context("log of kube-apiserver")?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Replaces the authorities of users. kube-apiserver reads the file again.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_user_authorities(&self, authorities: &[&Authority]) -> Result<()> {
        replace(&self.certificates.ca, &bundle(authorities))
    }

    /// Replaces the authorities of front proxies. kube-apiserver reads the file again.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_front_proxy_authorities(&self, authorities: &[&Authority]) -> Result<()> {
        write_front_proxy_authorities(&self.folder, authorities)
    }

    /// Replaces the aggregator's certificate by one of `signer`. kube-apiserver reads it again.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_front_proxy_certificate(&self, signer: &Authority) -> Result<()> {
        write_front_proxy_certificate(&self.folder, signer)
    }

    /// The reason why a server has ended; `None` while all run.
    pub fn failure(&mut self) -> Option<String> {
        let controllers = self.controllers.as_mut();
        let mut all = controllers
            .into_iter()
            .chain([&mut self.server, &mut self.etcd]);
        all.find_map(Process::ended)
    }

    /// The processes in the order in which they must be stopped, and the administrator's kubeconfig.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Process>, Kubeconfig) {
        let servers = [self.server, self.etcd];
        let processes = self.controllers.into_iter().chain(servers).collect();
        (processes, self.kubeconfig)
    }

    async fn ready(&mut self) -> Result<()> {
        kube_apiserver::ready(&self.client, &mut [&mut self.server, &mut self.etcd]).await
    }
}

/// kube-apiserver with the aggregation layer. It connects to addresses of endpoints, because nothing
/// on this machine routes cluster IPs.
fn command(
    reference: &Reference,
    folder: &Path,
    certificates: &Certificates,
    store: &str,
    port: u16,
) -> Command {
    let mut command = kube_apiserver::command(reference, folder, certificates, store, port);
    let in_folder = |name: &str, file: &str| flag(name, &folder.join(file));
    command
        .args(["--anonymous-auth=false", "--enable-aggregator-routing"])
        // Logs when a certificate has been read again.
        .arg("--vmodule=dynamic_serving_content=2")
        .arg(in_folder(
            "requestheader-client-ca-file",
            "front-proxy-ca.crt",
        ))
        .arg(format!("--requestheader-allowed-names={FRONT_PROXY}"))
        .args([
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-uid-headers=X-Remote-Uid",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ])
        .arg(in_folder("proxy-client-cert-file", "front-proxy.crt"))
        .arg(in_folder("proxy-client-key-file", "front-proxy.key"));
    command
}

fn flag(name: &str, file: &Path) -> String {
    format!("--{name}={}", file.display())
}

fn start(name: &'static str, command: &mut Command, folder: &Path) -> Result<Process> {
    command.stdout(Stdio::null());
    Process::start(name, command, &folder.join(format!("{name}.log")))
}

fn write_front_proxy_authorities(folder: &Path, authorities: &[&Authority]) -> Result<()> {
    replace(&folder.join("front-proxy-ca.crt"), &bundle(authorities))
}

fn write_front_proxy_certificate(folder: &Path, signer: &Authority) -> Result<()> {
    let certificate = signer.issue(&Subject {
        name: FRONT_PROXY,
        ..Subject::default()
    })?;
    replace(&folder.join("front-proxy.key"), &certificate.key)?;
    replace(&folder.join("front-proxy.crt"), &certificate.certificate)
}

/// One file with all authorities.
pub(super) fn bundle(authorities: &[&Authority]) -> String {
    authorities
        .iter()
        .map(|authority| authority.pem())
        .collect()
}

/// Replaces a file at once, so that no reader finds half of it.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| File::open(&partial)?.sync_all())
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| path.display().to_string())
}
