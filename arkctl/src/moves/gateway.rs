//! The gateway, reached past the aggregation layer with the caller's credentials.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::api_services::Target;
use super::until;
use crate::args;
use crate::crds::cluster::{Cluster, message};

/// Time for the gateway to load what was imported.
const READY: Duration = Duration::from_secs(120);

/// The gateway and where APIServices of it point.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) target: Target,
    direct: Cluster,
    address: String,
}

impl Gateway {
    /// Reads the authority of its certificate. Makes no connection yet.
    ///
    /// # Errors
    /// If the authority cannot be read.
    pub(super) async fn of(cluster: &Cluster, flags: &args::Gateway) -> Result<Self> {
        let (namespace, name) = flags.service.clone();
        let port = flags.service_port;
        let ca = match &flags.gateway_ca {
            Some(file) => {
                std::fs::read(file).with_context(|| format!("--gateway-ca {}", file.display()))?
            }
            None => authority(cluster, &namespace, &name).await?,
        };
        let host = format!("{name}.{namespace}.svc");
        let address = flags.gateway.clone();
        let address = address.unwrap_or_else(|| format!("https://{host}:{port}"));
        Ok(Self {
            direct: cluster.at(&address, &host, &ca)?,
            target: Target {
                namespace,
                name,
                port,
                ca,
            },
            address,
        })
    }

    /// Returns the reasons why it cannot take over now; the store need not be loaded.
    pub(super) async fn obstacles(&self, cluster: &Cluster) -> Vec<String> {
        let Target {
            namespace, name, ..
        } = &self.target;
        let mut obstacles = Vec::new();
        match self.direct.probe("/livez").await {
            Ok(200) => {}
            Ok(status) => obstacles.push(format!("gateway {}: /livez: {status}", self.address)),
            Err(error) => obstacles.push(format!(
                "gateway {}: {error:#}. Set --gateway to an address at which it is reachable from \
                 here, and --gateway-ca to the authority of its certificate",
                self.address
            )),
        }
        match ready_endpoints(cluster, namespace, name).await {
            Ok(0) => obstacles.push(format!(
                "Service {namespace}/{name} has no ready endpoint: kube-apiserver cannot reach the \
                 gateway"
            )),
            Ok(_) => {}
            Err(error) => obstacles.push(format!("Service {namespace}/{name}: {error:#}")),
        }
        obstacles
    }

    /// Waits until it serves objects.
    ///
    /// # Errors
    /// If it is not ready in time.
    pub(super) async fn ready(&self) -> Result<()> {
        until(READY, async || {
            Ok(match self.direct.probe("/readyz").await {
                Ok(200) => Ok(()),
                Ok(status) => Err(format!("gateway {}: /readyz: {status}", self.address)),
                Err(error) => Err(format!("gateway {}: {error:#}", self.address)),
            })
        })
        .await
    }

    /// Waits until it rejects requests for objects of a retired store.
    ///
    /// # Errors
    /// If it still serves when the time is over.
    pub(super) async fn retired(&self, path: &str) -> Result<()> {
        until(READY, async || {
            Ok(match self.direct.send("GET", path, None).await {
                Ok((503, _)) => Ok(()),
                Ok((status, _)) => Err(format!(
                    "gateway {}: GET {path}: {status} although its store is retired",
                    self.address
                )),
                // A gateway that has ended serves nothing.
                Err(_) => Ok(()),
            })
        })
        .await
    }

    /// Its OpenAPI document of a group version; `None` if it does not serve it.
    ///
    /// # Errors
    /// If it rejects the request.
    pub(super) async fn openapi(&self, group: &str, version: &str) -> Result<Option<Value>> {
        let path = format!("/openapi/v3/apis/{group}/{version}");
        let (status, document) = self.direct.send("GET", &path, None).await?;
        match status {
            200 => Ok(Some(document)),
            404 => Ok(None),
            _ => bail!(
                "gateway {}: GET {path}: {status} {}",
                self.address,
                message(&document)
            ),
        }
    }
}

async fn authority(cluster: &Cluster, namespace: &str, name: &str) -> Result<Vec<u8>> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}-tls");
    let secret = cluster.get(&path).await.with_context(|| {
        "the authority of the gateway's certificate is not known: set --gateway-ca".to_owned()
    })?;
    let encoded = secret["data"]["ca.crt"].as_str().unwrap_or_default();
    let decoded = BASE64.decode(encoded).unwrap_or_default();
    anyhow::ensure!(
        !decoded.is_empty(),
        "Secret {namespace}/{name}-tls has no ca.crt yet: wait until the gateway has started, or \
         set --gateway-ca"
    );
    Ok(decoded)
}

async fn ready_endpoints(cluster: &Cluster, namespace: &str, name: &str) -> Result<usize> {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices\
         ?labelSelector=kubernetes.io%2Fservice-name%3D{name}"
    );
    let list = cluster.get(&path).await?;
    let slices = list["items"].as_array().into_iter().flatten();
    let endpoints = slices.filter_map(|slice| slice["endpoints"].as_array());
    // An absent condition counts as true.
    let ready = endpoints
        .flatten()
        .filter(|it| it["conditions"]["ready"] != false);
    Ok(ready.count())
}
