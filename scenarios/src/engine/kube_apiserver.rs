//! The reference: kube-apiserver with the kinds of the scenarios.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use postgres_testkit::ports;
use serde_json::Value;
use tokio::process::Command;

use super::certificates::Certificates;
use super::client::Client;
use super::kubeconfig::Kubeconfig;
use super::process::Process;
use super::reference::Reference;
use super::store::Store;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Time for a cold start on a busy machine with two cores.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A ready server and its store.
#[derive(Debug)]
pub struct Started {
    /// In the order in which they must be stopped.
    pub processes: Vec<Process>,
    /// Address and credentials of kube-apiserver.
    pub kubeconfig: Kubeconfig,
    /// Address of the store, which needs no credentials.
    pub store: String,
}

impl Started {
    /// The processes and the kubeconfig, without the store's address.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Process>, Kubeconfig) {
        (self.processes, self.kubeconfig)
    }
}

/// Starts the server on `store` with files in `folder` and loads `manifests`.
///
/// # Errors
/// If the server or the store ends early ([`PortTaken`](super::process::PortTaken) if another
/// process has the port) or is not ready in time, or if the server rejects a manifest.
pub async fn start(
    reference: &Reference,
    store: Store,
    folder: &Path,
    manifests: &[PathBuf],
) -> Result<Started> {
    start_with(reference, store, folder, manifests, &[]).await
}

/// As [`start`], with further flags.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    reference: &Reference,
    mut store: Store,
    folder: &Path,
    manifests: &[PathBuf],
    flags: &[String],
) -> Result<Started> {
    let certificates = Certificates::create(folder)?;
    let port = ports::free()?;
    let log = folder.join("kube-apiserver.log");
    let mut command = command(reference, folder, &certificates, &store.url, port);
    // The server under test authenticates every request, so the reference must as well.
    command.arg("--anonymous-auth=false").args(flags);
    let mut server = Process::start("kube-apiserver", &mut command, &log)?;

    let kubeconfig = certificates.kubeconfig(port)?;
    let client = Client::new(&kubeconfig, true)?;
    ready(&client, &mut [&mut server, &mut store.process]).await?;
    load(&client, manifests).await?;
    // The server must stop before its store.
    Ok(Started {
        processes: vec![server, store.process],
        kubeconfig,
        store: store.url,
    })
}

/// Waits until the server is ready.
///
/// # Errors
/// If one of `processes` ends, or the time is over.
pub(super) async fn ready(client: &Client, processes: &mut [&mut Process]) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        // Before any readiness check: if the store failed to bind, another run's store may listen
        // on its port and serve this kube-apiserver.
        for process in &mut *processes {
            if let Some(failure) = process.failure() {
                return Err(failure);
            }
        }
        let response = client
            .send("GET", "/readyz", &[], bytes::Bytes::new())
            .await;
        if response.is_ok_and(|response| response.status().is_success()) {
            return Ok(());
        }
        wait_before_retry(deadline, "kube-apiserver is not ready").await?;
    }
}

/// The program with the flags that all control planes have.
pub(super) fn command(
    reference: &Reference,
    folder: &Path,
    certificates: &Certificates,
    store: &str,
    port: u16,
) -> Command {
    let mut command = Command::new(&reference.kube_apiserver);
    let mut flag = |name: &str, value: &dyn std::fmt::Display| {
        command.arg(format!("--{name}={value}"));
    };
    flag("etcd-servers", &store);
    flag("bind-address", &"127.0.0.1");
    flag("secure-port", &port);
    flag("cert-dir", &folder.display());
    flag("tls-cert-file", &certificates.server.display());
    flag("tls-private-key-file", &certificates.server_key.display());
    flag("client-ca-file", &certificates.ca.display());
    flag("service-account-issuer", &"https://scenarios.invalid");
    // kube-apiserver accepts a certificate in place of a public key.
    flag("service-account-key-file", &certificates.server.display());
    flag(
        "service-account-signing-key-file",
        &certificates.server_key.display(),
    );
    flag("service-cluster-ip-range", &"10.0.0.0/24");
    flag("authorization-mode", &"RBAC");
    command.stdout(std::process::Stdio::null());
    command
}

async fn load(client: &Client, manifests: &[PathBuf]) -> Result<()> {
    for file in manifests {
        let text = std::fs::read_to_string(file)?;
        define(client, &serde_saphyr::from_multiple(&text)?)
            .await
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Creates the definitions among `documents` and waits until each version can be listed.
///
/// # Errors
/// If the server rejects one, or does not serve it in time.
pub async fn define(client: &Client, documents: &[Value]) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    for document in documents {
        if document["kind"] != "CustomResourceDefinition" {
            continue;
        }
        loop {
            let (status, response) = client.json("POST", CRDS, Some(document)).await?;
            match status {
                201 | 409 => break,
                // Its caches are still filling.
                429 | 500..=599 => {
                    wait_before_retry(deadline, &response["message"].to_string()).await?;
                }
                _ => bail!("manifest rejected: {}", response["message"]),
            }
        }
        let spec = &document["spec"];
        for version in spec["versions"].as_array().into_iter().flatten() {
            if version["served"] == true {
                let group = spec["group"].as_str().unwrap_or_default();
                let plural = spec["names"]["plural"].as_str().unwrap_or_default();
                let name = version["name"].as_str().unwrap_or_default();
                served(
                    client,
                    &format!("/apis/{group}/{name}/{plural}?limit=1"),
                    deadline,
                )
                .await?;
            }
        }
    }
    Ok(())
}

async fn served(client: &Client, path: &str, deadline: Instant) -> Result<()> {
    loop {
        let response = client.send("GET", path, &[], bytes::Bytes::new()).await?;
        if response.status().is_success() {
            return Ok(());
        }
        wait_before_retry(
            deadline,
            &format!("{path} is not available: {}", response.status()),
        )
        .await?;
    }
}

async fn wait_before_retry(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() >= deadline {
        bail!("{what} after {} s", START_TIMEOUT.as_secs());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
}
