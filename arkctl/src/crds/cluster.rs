//! Access to the cluster: its CRDs, and objects as bytes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use crd_schema::SelectableField;
use crd_schema::stored::selectable_of;
use kube_http::{Client, Kubeconfig};
use serde_json::Value;
use tokio::time::sleep;

use crate::args;

/// Attempts for a request that the server asks to repeat, and the pause between them.
const ATTEMPTS: usize = 10;
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Objects per page of a list.
const PAGE: usize = 500;

/// Path of the CRDs.
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A client of the cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    client: Client,
    kubeconfig: Kubeconfig,
    pub(crate) groups: Vec<String>,
}

/// A CRD of one of the groups.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) kind: Arc<Kind>,
    /// The whole CRD.
    pub(crate) object: Value,
}

/// A kind that the cluster stores as a CRD.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) plural: String,
    pub(crate) namespaced: bool,
    /// The storage version.
    pub(crate) storage: String,
    /// All versions, each with whether it is served and has the status subresource.
    pub(crate) versions: Vec<(String, bool, bool)>,
    /// Selectable fields of all versions.
    pub(crate) selectable: Vec<SelectableField>,
    /// Name and uid of the CRD.
    pub(crate) crd: (String, String),
    /// Versions in which objects may be stored, besides the storage version.
    pub(crate) former: Vec<String>,
}

// === impl Cluster ===

impl Cluster {
    pub(crate) fn of(cluster: &args::Cluster) -> Result<Self> {
        let kubeconfig = Kubeconfig::load(&cluster.kubeconfig)?;
        Ok(Self {
            client: Client::new(&kubeconfig, true)?,
            kubeconfig,
            groups: cluster.groups.clone(),
        })
    }

    /// A client with connections of its own.
    pub(crate) fn reconnected(&self) -> Result<Self> {
        Ok(Self {
            client: Client::new(&self.kubeconfig, true)?,
            kubeconfig: self.kubeconfig.clone(),
            groups: self.groups.clone(),
        })
    }

    /// A client of another server with the same credentials. Its certificate must have the name
    /// `server_name` and be signed by `ca`.
    pub(crate) fn at(&self, server: &str, server_name: &str, ca: &[u8]) -> Result<Self> {
        let kubeconfig = Kubeconfig {
            server: server.to_owned(),
            tls_server_name: Some(server_name.to_owned()),
            ca: ca.to_vec(),
            ..self.kubeconfig.clone()
        };
        Ok(Self {
            client: Client::new(&kubeconfig, true)?,
            kubeconfig,
            groups: self.groups.clone(),
        })
    }

    /// Whether an API group is selected.
    pub(crate) fn means(&self, group: &str) -> bool {
        self.groups.iter().any(|it| it == group)
    }

    /// Sends JSON; returns status code and JSON of the response.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let body = body.map(kube_json::to_vec).unwrap_or_default();
        let content = "application/json";
        let (status, bytes) = self.attempts(method, path, content, body.into()).await?;
        let answer = kube_json::reparse(&bytes);
        let answer = answer
            .with_context(|| format!("{method} {path}: {status}, and the response is not JSON"))?;
        Ok((status, answer))
    }

    /// Sends a JSON merge patch; returns status code and JSON of the response.
    pub(crate) async fn patch(&self, path: &str, change: &Value) -> Result<(u16, Value)> {
        let body = Bytes::from(kube_json::to_vec(change));
        let content = "application/merge-patch+json";
        let (status, bytes) = self.attempts("PATCH", path, content, body).await?;
        let answer = kube_json::reparse(&bytes);
        let answer = answer
            .with_context(|| format!("PATCH {path}: {status}, and the response is not JSON"))?;
        Ok((status, answer))
    }

    /// Repeats a request while the response is 429: kube-apiserver has not processed it. It responds so
    /// for a moment after a CRD has changed.
    async fn attempts(
        &self,
        method: &str,
        path: &str,
        content: &str,
        body: Bytes,
    ) -> Result<(u16, Bytes)> {
        for _ in 1..ATTEMPTS {
            let sent = self.client.bytes_of(method, path, content, body.clone());
            let (status, bytes) = sent.await?;
            if status != 429 {
                return Ok((status, bytes));
            }
            sleep(RETRY_DELAY).await;
        }
        Ok(self.client.bytes_of(method, path, content, body).await?)
    }

    /// Gets the status code of a path whose response is not JSON.
    pub(crate) async fn probe(&self, path: &str) -> Result<u16> {
        let (status, _) = self.client.bytes("GET", path, Bytes::new()).await?;
        Ok(status)
    }

    /// Gets an object; `None` if there is none.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>> {
        let (status, answer) = self.send("GET", path, None).await?;
        match status {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            _ => bail!("GET {path}: {status} {}", message(&answer)),
        }
    }

    /// Gets a path; fails unless the status is 200.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.send("GET", path, None).await?;
        if status == 200 {
            return Ok(answer);
        }
        bail!("GET {path}: {}", message(&answer))
    }

    /// Whether a namespace exists.
    pub(crate) async fn has_namespace(&self, name: &str) -> Result<bool> {
        let path = format!("/api/v1/namespaces/{name}");
        let (status, answer) = self.send("GET", &path, None).await?;
        match status {
            200 => Ok(true),
            404 => Ok(false),
            _ => bail!("GET {path}: {}", message(&answer)),
        }
    }

    /// Returns the kinds of the groups, by group and plural name.
    pub(crate) async fn kinds(&self) -> Result<Vec<Arc<Kind>>> {
        let definitions = self.definitions().await?;
        Ok(definitions.into_iter().map(|it| it.kind).collect())
    }

    /// Returns the CRDs of the groups, by group and plural name.
    pub(crate) async fn definitions(&self) -> Result<Vec<Definition>> {
        let mut found = Vec::new();
        self.pages(DEFINITIONS, |object| {
            let group = object["spec"]["group"].as_str();
            if group.is_some_and(|group| self.means(group)) {
                let kind = Arc::new(Kind::of(&object)?);
                found.push(Definition { kind, object });
            }
            Ok(())
        })
        .await?;
        for group in &self.groups {
            if !found.iter().any(|it| it.kind.group == *group) {
                bail!("the cluster has no CRDs of the group {group}");
            }
        }
        let name = |it: &Definition| (it.kind.group.clone(), it.kind.plural.clone());
        found.sort_by_key(name);
        Ok(found)
    }

    /// Returns the APIServices that delegate the kinds to another server, which hides the CRDs.
    pub(crate) async fn handed_over(&self, kinds: &[Arc<Kind>]) -> Result<Vec<String>> {
        let names: BTreeSet<String> = kinds.iter().flat_map(|kind| kind.api_services()).collect();
        let mut handed_over = Vec::new();
        for name in names {
            let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}");
            let found = self.find(&path).await?;
            // An APIService without a service is served by kube-apiserver itself.
            if found.is_some_and(|found| found["spec"]["service"].is_object()) {
                handed_over.push(name);
            }
        }
        Ok(handed_over)
    }

    /// Passes every object of a kind in its storage version to a callback, page by page; returns
    /// the list's resourceVersion.
    pub(crate) async fn list(
        &self,
        kind: &Kind,
        each: impl FnMut(Value) -> Result<()>,
    ) -> Result<String> {
        let Kind {
            group,
            plural,
            storage,
            ..
        } = kind;
        let served = kind
            .versions
            .iter()
            .any(|(name, served, _)| name == storage && *served);
        if !served {
            bail!("{plural}.{group}: the storage version {storage} is not served; serve it");
        }
        self.pages(&format!("/apis/{group}/{storage}/{plural}"), each)
            .await
    }

    async fn pages(&self, path: &str, mut each: impl FnMut(Value) -> Result<()>) -> Result<String> {
        let mut more = String::new();
        loop {
            let mut page = self.get(&format!("{path}?limit={PAGE}{more}")).await?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if let Value::Array(items) = page["items"].take() {
                items.into_iter().try_for_each(&mut each)?;
            }
            let token = text(&page["metadata"]["continue"]);
            if token.is_empty() {
                // All pages have the same revision.
                return Ok(text(&page["metadata"]["resourceVersion"]));
            }
            more = format!("&continue={token}");
        }
    }
}

/// Returns the message and remedy for delegating APIServices; nothing if there are none.
pub(crate) fn in_the_way(handed_over: &[String]) -> Option<String> {
    let names = handed_over.join(" ");
    (!names.is_empty()).then(|| {
        format!(
            "the cluster hands the kinds to another server, which would answer instead of the \
             CRDs: kubectl delete apiservice {names}, and repeat the command once kubectl \
             lists the kinds from the CRDs"
        )
    })
}

/// Returns the error message in a response.
pub(crate) fn message(answer: &Value) -> &str {
    answer["message"]
        .as_str()
        .unwrap_or("refused without a reason")
}

// === impl Kind ===

impl Kind {
    fn of(definition: &Value) -> Result<Self> {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let versions = spec["versions"]
            .as_array()
            .context("a CRD without versions")?;
        let storage = versions.iter().find(|version| version["storage"] == true);
        let fields = versions.iter().flat_map(|version| {
            let declared = version["selectableFields"].as_array().into_iter().flatten();
            declared.filter_map(|field| field["jsonPath"].as_str())
        });
        let fields: Vec<_> = fields.map(SelectableField::new).collect();
        let current = text(&storage.context("a CRD without a storage version")?["name"]);
        let stored = definition["status"]["storedVersions"].as_array();
        let stored = stored.into_iter().flatten().filter_map(Value::as_str);
        let metadata = &definition["metadata"];
        Ok(Self {
            crd: (text(&metadata["name"]), text(&metadata["uid"])),
            former: stored
                .filter(|version| *version != current)
                .map(ToOwned::to_owned)
                .collect(),
            group: text(&spec["group"]),
            plural: text(&spec["names"]["plural"]),
            namespaced: spec["scope"] == "Namespaced",
            storage: current,
            versions: versions
                .iter()
                .map(|version| {
                    let status = version["subresources"]["status"].is_object();
                    (text(&version["name"]), version["served"] == true, status)
                })
                .collect(),
            selectable: selectable_of(&fields),
        })
    }

    /// Returns the names of the APIServices of the served versions.
    pub(crate) fn api_services(&self) -> impl Iterator<Item = String> + '_ {
        let served = self.versions.iter().filter(|(_, served, _)| *served);
        served.map(|(version, ..)| format!("{version}.{}", self.group))
    }

    /// Returns the reason why lists may lack fields: objects that are stored in another version are
    /// converted, and a conversion may drop fields.
    pub(crate) fn mixed(&self) -> Option<String> {
        let (name, _) = &self.crd;
        let former = self.former.join(", ");
        (!self.former.is_empty()).then(|| {
            format!(
                "{name}: status.storedVersions has {former} besides the storage version {}: \
                 fields that the conversion drops would be lost. Write all objects once, such as \
                 with a StorageVersionMigration, and remove the old versions from status.\
                 storedVersions",
                self.storage
            )
        })
    }

    /// Returns the path of objects in a version.
    pub(crate) fn path(&self, version: &str, namespace: &str) -> String {
        let Self { group, plural, .. } = self;
        if namespace.is_empty() {
            format!("/apis/{group}/{version}/{plural}")
        } else {
            format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
        }
    }
}
