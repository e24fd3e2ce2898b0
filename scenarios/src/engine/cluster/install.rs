//! Installs what the Helm chart gives to the cluster, except for the pod, which is a process here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::process::Command;

use super::super::certificates::Authority;
use super::super::client::Client;
use super::control_plane::{ControlPlane, bundle};

/// Field manager of the objects that [`Release::use_self_managed`] changes.
const MANAGER: &str = "helm";

/// Namespace of the release.
pub const NAMESPACE: &str = "ark-system";
/// Name of the Service and of the service account.
pub const SERVICE: &str = "ark-apiserver";

/// The issue requires less, from the start of a pod on; the bound here covers slow machines.
const AVAILABLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Kinds of the chart that are installed, and paths of their collections. The others
/// belong to the pod.
const INSTALLED: &[(&str, &str)] = &[
    ("ServiceAccount", "/api/v1/namespaces/{}/serviceaccounts"),
    (
        "ClusterRole",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    ),
    (
        "ClusterRoleBinding",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    ),
    (
        "Role",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    ),
    (
        "RoleBinding",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    ),
    ("Service", "/api/v1/namespaces/{}/services"),
    ("Secret", "/api/v1/namespaces/{}/secrets"),
    (
        "FlowSchema",
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
    ),
    ("APIService", API_SERVICES),
];
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// The chart and the program that renders it.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Path of Helm.
    pub helm: PathBuf,
    /// Folder of the chart.
    pub chart: PathBuf,
    /// Folder for the values, and home directory of Helm.
    pub folder: PathBuf,
}

/// An installed release.
#[derive(Debug)]
pub struct Release {
    /// Signs the gateway's certificate.
    pub authority: Authority,
    /// Names of the APIServices.
    pub api_services: Vec<String>,
    /// Path and query of the gateway's readiness probe.
    pub readiness_probe: String,
    address: SocketAddr,
    chart: Chart,
    versions: Vec<(String, String)>,
}

impl Release {
    /// Installs the chart's objects, with an APIService for each of `versions`. The Service has no
    /// endpoint yet.
    ///
    /// # Errors
    /// If Helm or kube-apiserver rejects the chart.
    pub async fn install(
        client: &Client,
        chart: Chart,
        versions: Vec<(String, String)>,
        address: SocketAddr,
    ) -> Result<Self> {
        let authority = Authority::new("ark-apiserver-ca")?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE}});
        create(client, "/api/v1/namespaces", &namespace).await?;
        let tls = json!({"mode": "provided", "provided": {"secretName": "serving"}});
        let bundle = BASE64.encode(authority.pem());
        let rendered = chart.render(&tls, Some(&bundle), &versions).await?;
        for mut object in rendered.iter().cloned() {
            let Some(collection) = collection(&object) else {
                continue;
            };
            if object["kind"] == "Service"
                && let Some(spec) = object["spec"].as_object_mut()
            {
                // Without a selector, the controllers leave its EndpointSlices to us.
                spec.remove("selector");
            }
            create(client, &collection, &object).await?;
        }
        let probe = &gateway(&rendered)?["readinessProbe"]["httpGet"]["path"];
        let name = |(group, version): &(String, String)| format!("{version}.{group}");
        Ok(Self {
            authority,
            api_services: versions.iter().map(name).collect(),
            readiness_probe: probe.as_str().context("no readiness probe")?.to_owned(),
            address,
            chart,
            versions,
        })
    }

    /// Changes the release to the chart's default TLS mode, in which the gateway keeps its own
    /// certificate. Returns the gateway's arguments of this mode.
    ///
    /// # Errors
    /// If Helm or kube-apiserver rejects the chart.
    pub async fn use_self_managed(&self, client: &Client) -> Result<Vec<String>> {
        let tls = json!({"mode": "selfManaged"});
        let rendered = self.chart.render(&tls, None, &self.versions).await?;
        let changed = ["Secret", "ClusterRole", "Role", "RoleBinding"];
        for object in &rendered {
            let kind = object["kind"].as_str().unwrap_or_default();
            if let Some(collection) = collection(object)
                && changed.contains(&kind)
            {
                apply(client, &collection, object).await?;
            }
        }
        // An update to this mode removes the bundle of the values.
        let patch = json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": false}});
        for name in &self.api_services {
            merge(client, &format!("{API_SERVICES}/{name}"), &patch).await?;
        }
        let container = gateway(&rendered)?;
        let arguments = container["args"].as_array().into_iter().flatten();
        let arguments = arguments.filter_map(Value::as_str);
        Ok(arguments
            .filter(|it| it.starts_with("--self-managed-tls-"))
            .map(ToOwned::to_owned)
            .collect())
    }

    /// Writes the kubeconfig of the gateway's service account.
    ///
    /// # Errors
    /// If there is no token for the account.
    pub async fn kubeconfig(&self, cluster: &ControlPlane, folder: &Path) -> Result<PathBuf> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{SERVICE}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86_400}});
        let created = create(&cluster.client, &path, &request).await?;
        let token = created["status"]["token"].as_str().context("no token")?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
            "clusters": [{"name": "cluster", "cluster": {
                "server": cluster.kubeconfig.server,
                "certificate-authority-data": BASE64.encode(&cluster.kubeconfig.ca)}}],
            "users": [{"name": "account", "user": {"token": token}}],
            "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "account"}}],
        });
        let file = folder.join("gateway.kubeconfig");
        std::fs::write(&file, format!("{config:#}")).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// Adds the gateway to the Service, as the controllers do when its pod is ready.
    ///
    /// # Errors
    /// If kube-apiserver rejects the EndpointSlice.
    pub async fn publish(&self, client: &Client) -> Result<()> {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": SERVICE, "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": SERVICE}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self.address.ip().to_string()]}],
            "ports": [{"name": "https", "port": self.address.port(), "protocol": "TCP"}],
        });
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices");
        create(client, &path, &slice).await?;
        Ok(())
    }

    /// Waits until kube-apiserver considers every APIService available and proxies requests, which it
    /// begins a moment later.
    ///
    /// # Errors
    /// With the condition of one that is not, when the time is over.
    pub async fn wait_available(&self, client: &Client) -> Result<()> {
        let deadline = Instant::now() + AVAILABLE_TIMEOUT;
        for name in &self.api_services {
            while let Some(state) = unavailable(client, name).await? {
                ensure!(
                    Instant::now() < deadline,
                    "APIService {name} is not available after {AVAILABLE_TIMEOUT:?}: {state}"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Replaces the authorities with which kube-apiserver verifies the gateway.
    ///
    /// # Errors
    /// If kube-apiserver rejects the change.
    pub async fn trust(&self, client: &Client, authorities: &[&Authority]) -> Result<()> {
        let patch = json!({"spec": {"caBundle": BASE64.encode(bundle(authorities))}});
        for name in &self.api_services {
            merge(client, &format!("{API_SERVICES}/{name}"), &patch).await?;
        }
        Ok(())
    }
}

impl Chart {
    async fn render(
        &self,
        tls: &Value,
        bundle: Option<&str>,
        versions: &[(String, String)],
    ) -> Result<Vec<Value>> {
        let versions: Vec<Value> = versions
            .iter()
            // One priority, as for CRDs: equal priorities are ordered by name.
            .map(|(group, version)| {
                json!({"group": group, "version": version, "versionPriority": 100})
            })
            .collect();
        let mut values = json!({"tls": tls, "apiService": {"versions": versions}});
        if let Some(bundle) = bundle {
            values["apiService"]["caBundle"] = bundle.into();
        }
        let file = self.folder.join("values.json");
        std::fs::write(&file, values.to_string()).with_context(|| file.display().to_string())?;
        let output = Command::new(&self.helm)
            .args(["template", "ark", "--skip-tests", "--namespace", NAMESPACE])
            .arg(&self.chart)
            .arg("--values")
            .arg(&file)
            .env("HOME", &self.folder)
            .env_remove("KUBECONFIG")
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot start helm")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm template: {errors}");
        let text = String::from_utf8(output.stdout)?;
        let objects = serde_saphyr::from_multiple::<Value>(&text)?;
        Ok(objects.into_iter().filter(|it| !it.is_null()).collect())
    }
}

/// The state of an APIService that does not serve yet.
async fn unavailable(client: &Client, name: &str) -> Result<Option<String>> {
    let path = format!("{API_SERVICES}/{name}");
    let (_, object) = client.json("GET", &path, None).await?;
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let available = conditions.find(|it| it["type"] == "Available");
    match available {
        Some(condition) if condition["status"] == "True" => {}
        Some(condition) => return Ok(Some(condition.to_string())),
        None => return Ok(Some("no condition".to_owned())),
    }
    let (version, group) = name.split_once('.').context("name of an APIService")?;
    let path = format!("/apis/{group}/{version}");
    let response = client.send("GET", &path, &[], Bytes::new()).await?;
    let status = response.status();
    Ok((!status.is_success()).then(|| format!("{path}: {status}")))
}

/// Path of the collection of an object that is installed.
fn collection(object: &Value) -> Option<String> {
    let kind = object["kind"].as_str()?;
    let (_, path) = INSTALLED.iter().find(|(known, _)| *known == kind)?;
    let namespace = object["metadata"]["namespace"].as_str();
    Some(path.replace("{}", namespace.unwrap_or(NAMESPACE)))
}

/// The gateway's container.
fn gateway(rendered: &[Value]) -> Result<&Value> {
    let deployments = rendered.iter().filter(|it| it["kind"] == "Deployment");
    deployments
        .flat_map(|it| it["spec"]["template"]["spec"]["containers"].as_array())
        .flatten()
        .find(|it| it["name"] == "gateway")
        .context("the chart has no container `gateway`")
}

/// Creates or changes an object by server-side apply, as `helm upgrade` does.
async fn apply(client: &Client, collection: &str, object: &Value) -> Result<()> {
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let path = format!("{collection}/{name}?fieldManager={MANAGER}&force=true");
    patch(client, &path, "application/apply-patch+yaml", object).await
}

/// Creates an object and returns it.
///
/// # Errors
/// With the server's message, if it rejects the object.
pub async fn create(client: &Client, collection: &str, object: &Value) -> Result<Value> {
    let (status, created) = client.json("POST", collection, Some(object)).await?;
    ensure!(
        status == 201,
        "cannot create {} in {collection}: {status} {}",
        object["metadata"]["name"],
        created["message"]
    );
    Ok(created)
}

/// Changes an object by a JSON merge patch.
///
/// # Errors
/// With the server's message, if it rejects the patch.
pub async fn merge(client: &Client, path: &str, change: &Value) -> Result<()> {
    patch(client, path, "application/merge-patch+json", change).await
}

async fn patch(client: &Client, path: &str, content: &str, change: &Value) -> Result<()> {
    let headers = [("Content-Type".to_owned(), content.to_owned())];
    let body = Bytes::from(serde_json::to_vec(change)?);
    let response = client.send("PATCH", path, &headers, body).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    ensure!(status.is_success(), "cannot patch {path}: {status} {text}");
    Ok(())
}
