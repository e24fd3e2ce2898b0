//! Addresses of Services, for webhooks: read when a connection is opened, not followed by a watch. A
//! cluster may have many Services, and few of them are webhooks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::Service;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answers::Answers;
use super::call::{Call, Error};
use super::client::Client;

/// Services whose address is remembered.
const CACHED: usize = 200;
/// How long an address is used for new connections. A Service that is created again has another
/// address; the next attempt finds it.
const LIFETIME: Duration = Duration::from_secs(5);

/// The requests for Services. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    client: Client,
    lookups: Arc<Answers<Option<Arc<Found>>>>,
}

/// Where connections to a Service are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The ClusterIP.
    Ip(IpAddr),
    /// The name of a Service of the type ExternalName.
    Name(String),
}

/// Why a Service has no address. The texts are those of `k8s.io/apiserver/pkg/util/proxy`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// It does not exist.
    #[error("service {0:?} not found")]
    Missing(String),
    /// It is headless.
    #[error("cannot route to service with ClusterIP \"None\"")]
    Headless,
    /// It has no such port.
    #[error("no service port {port} found for service {name:?}")]
    NoPort {
        /// The Service.
        name: String,
        /// The port.
        port: u16,
    },
    /// Its type is unknown, or its address is none.
    #[error("unsupported service type {0:?}")]
    Type(String),
    /// kube-apiserver gives no answer.
    #[error(transparent)]
    Unanswered(#[from] Error),
}

#[derive(Debug)]
struct Found {
    kind: String,
    cluster_ip: String,
    external_name: String,
    ports: Vec<i32>,
}

impl Services {
    /// The Services of a cluster.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            lookups: Answers::new(CACHED, None),
        }
    }

    /// The address of a port, as kube-apiserver resolves it.
    ///
    /// # Errors
    /// If the Service has none.
    pub async fn resolve(
        &self,
        namespace: &str,
        name: &str,
        port: u16,
    ) -> Result<Address, Unresolved> {
        let found = self.look_up(namespace, name).await?;
        let found = found.ok_or_else(|| Unresolved::Missing(name.to_owned()))?;
        found.address(name, port)
    }

    async fn look_up(&self, namespace: &str, name: &str) -> Result<Option<Arc<Found>>, Error> {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let path = format!(
            "/api/v1/namespaces/{}/services/{}",
            encoded(namespace),
            encoded(name)
        );
        let (client, question) = (self.client.clone(), path.clone());
        let ask = || async move {
            let call = Call {
                method: Method::GET,
                path: &path,
                body: bytes::Bytes::new(),
            };
            match call.send::<Service>(&client, None).await {
                Ok(service) => Ok(Some(Arc::new(Found::of(service)))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        };
        let lifetime = |found: &Option<_>| found.as_ref().map(|_| LIFETIME);
        self.lookups
            .answer(question.as_bytes(), lifetime, ask)
            .await
    }
}

impl Found {
    fn of(service: Service) -> Self {
        let spec = service.spec.unwrap_or_default();
        let ports = spec.ports.unwrap_or_default();
        Self {
            kind: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()),
            cluster_ip: spec.cluster_ip.unwrap_or_default(),
            external_name: spec.external_name.unwrap_or_default(),
            ports: ports.iter().map(|port| port.port).collect(),
        }
    }

    fn address(&self, name: &str, port: u16) -> Result<Address, Unresolved> {
        match &*self.kind {
            "ClusterIP" if self.cluster_ip == "None" => Err(Unresolved::Headless),
            "ClusterIP" | "LoadBalancer" | "NodePort" => {
                if !self.ports.contains(&i32::from(port)) {
                    let name = name.to_owned();
                    return Err(Unresolved::NoPort { name, port });
                }
                let ip = self.cluster_ip.parse();
                ip.map(Address::Ip)
                    .map_err(|_| Unresolved::Type(self.kind.clone()))
            }
            "ExternalName" => Ok(Address::Name(self.external_name.clone())),
            other => Err(Unresolved::Type(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, cluster_ip: &str, port: u16, expected: Result<&str, &str>) {
        let found = Found {
            kind: kind.to_owned(),
            cluster_ip: cluster_ip.to_owned(),
            external_name: "hooks.example.com".to_owned(),
            ports: vec![443, 8443],
        };
        let address = found.address("hooks", port).map(|address| match address {
            Address::Ip(ip) => ip.to_string(),
            Address::Name(name) => name,
        });
        let address = address.map_err(|error| error.to_string());
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(address, expected, "{kind} {cluster_ip} {port}");
    }

    #[test]
    fn services_resolve_as_in_kube_apiserver() {
        check("ClusterIP", "10.0.0.7", 443, Ok("10.0.0.7"));
        check("NodePort", "fd00::7", 8443, Ok("fd00::7"));
        check("ExternalName", "", 443, Ok("hooks.example.com"));
        let headless = "cannot route to service with ClusterIP \"None\"";
        check("ClusterIP", "None", 443, Err(headless));
        let no_port = "no service port 80 found for service \"hooks\"";
        check("LoadBalancer", "10.0.0.7", 80, Err(no_port));
        check("Odd", "", 443, Err("unsupported service type \"Odd\""));
    }
}
