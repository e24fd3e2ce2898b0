//! A kube-apiserver that judges the objects.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use kube_http::Client;
use scenarios::engine::kube_apiserver;
use scenarios::engine::process::Process;
use scenarios::engine::reference::Reference;
use scenarios::engine::store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cases::Case;
use crate::crds;
use crate::helm::NAMESPACE;
use crate::object::{Object, only};
use crate::report::Report;

/// A running control plane without controllers.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Client of its administrator.
    pub(crate) client: Client,
    processes: Vec<Process>,
    /// Folder of the server's files and of the administrator's kubeconfig.
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Starts etcd and kube-apiserver with the definitions of cert-manager and of the Prometheus
    /// operator, and creates the namespace.
    ///
    /// # Errors
    /// If a server does not become ready.
    pub(crate) async fn start(reference: &Reference) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ark-chart-").tempdir()?;
        let path = folder.path();
        let definitions = crds::files(path).await?;
        let etcd = store::etcd(reference, path)?;
        let started = kube_apiserver::start(reference, etcd, path, &definitions).await?;
        let (processes, kubeconfig) = started.into_parts();
        kubeconfig.save(&path.join("admin.kubeconfig"), "default")?;
        let cluster = Self {
            client: Client::new(&kubeconfig, true)?,
            processes,
            folder,
        };
        cluster.create_namespace().await?;
        Ok(cluster)
    }

    /// Creates the namespace of the release, which admits only restricted pods, and the service
    /// account of pods that name none.
    async fn create_namespace(&self) -> Result<()> {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        let path = "/api/v1/namespaces";
        let (status, response) = self.client.json("POST", path, Some(&namespace)).await?;
        ensure!(status == 201, "namespace: {}", response["message"]);
        Ok(())
    }

    /// Creates every object of a case in a dry run, and a pod of its Deployment.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub(crate) async fn validate(
        &mut self,
        case: &Case,
        objects: &[Object],
        report: &mut Report,
    ) -> Result<()> {
        for process in &mut self.processes {
            if let Some(failure) = process.failure() {
                return Err(failure);
            }
        }
        for object in objects {
            let name = format!("{}: {}", case.name, object.id());
            let result = self.dry_run(object).await;
            report.record(&name, result);
        }
        let deployment = only(objects, "Deployment")?;
        let mut pod = deployment.value["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!("pod");
        pod["metadata"]["namespace"] = json!(NAMESPACE);
        // The admission plugin for service accounts wants the account to exist; what it would set
        // does not depend on the name.
        pod["spec"]["serviceAccountName"] = json!("probe");
        self.ensure_account("probe").await?;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All&fieldValidation=Strict");
        let (status, response) = self.client.json("POST", &path, Some(&pod)).await?;
        let message = response["message"].to_string();
        let violates = message.contains("violates PodSecurity");
        let expected = if case.restricted {
            status == 201
        } else {
            status == 403 && violates
        };
        report.expect(&format!("{}: pod", case.name), expected, || {
            format!("{status} {message}")
        });
        Ok(())
    }

    async fn ensure_account(&self, name: &str) -> Result<()> {
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": NAMESPACE},
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        let (status, response) = self.client.json("POST", &path, Some(&account)).await?;
        ensure!(
            matches!(status, 201 | 409),
            "service account: {}",
            response["message"]
        );
        Ok(())
    }

    /// Creates an object in a dry run that rejects unknown fields.
    async fn dry_run(&self, object: &Object) -> Result<()> {
        let collection = object.collection()?;
        let path = format!("{collection}?dryRun=All&fieldValidation=Strict");
        let (status, response) = self.client.json("POST", &path, Some(&object.value)).await?;
        ensure!(
            status == 201,
            "{status} {}",
            response["message"].as_str().unwrap_or_default()
        );
        Ok(())
    }

    /// Sends a request as another user, and returns the response of a success.
    ///
    /// # Errors
    /// With the server's message, if it rejects the request.
    pub(crate) async fn as_user(&self, user: &str, path: &str, body: &Value) -> Result<Value> {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = [
            header("Content-Type", "application/json"),
            header("Impersonate-User", user),
        ];
        let bytes = Bytes::from(serde_json::to_vec(body)?);
        let response = self.client.send("POST", path, &headers, bytes).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let value: Value = serde_json::from_slice(&body)?;
        if !status.is_success() {
            bail!("{status} {}", value["message"]);
        }
        Ok(value)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// If it does not exist.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let (status, value) = self.client.json("GET", path, None).await?;
        ensure!(status == 200, "{path}: {status}");
        Ok(value)
    }

    /// Changes fields of an object by a JSON merge patch, as another writer does.
    ///
    /// # Errors
    /// With the server's message, if it rejects the patch.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Result<()> {
        let headers = [(
            "Content-Type".to_owned(),
            "application/merge-patch+json".to_owned(),
        )];
        let path = format!("{path}?fieldManager=gateway");
        let bytes = Bytes::from(serde_json::to_vec(patch)?);
        let response = self.client.send("PATCH", &path, &headers, bytes).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "{path}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }

    /// Stops the servers.
    ///
    /// # Errors
    /// If one of them had ended before.
    pub(crate) async fn stop(mut self) -> Result<()> {
        for process in &mut self.processes {
            let ended = process.ended();
            process.stop().await;
            ensure!(ended.is_none(), ended.unwrap_or_default());
        }
        self.folder.close().context("folder of the control plane")
    }
}
