//! Access to the cluster: its CRDs, and objects as bytes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
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
    /// Path of the kubeconfig, for messages.
    file: String,
    /// Each once, in the order of the command line.
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
        let file = cluster.kubeconfig.display().to_string();
        let kubeconfig = match Kubeconfig::load(&cluster.kubeconfig) {
            // The message begins with the path.
            Err(error @ kube_http::Error::File { .. }) => return Err(error.into()),
            loaded => loaded.with_context(|| format!("--kubeconfig {file}"))?,
        };
        let mut groups: Vec<String> = Vec::new();
        for group in &cluster.groups {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        Ok(Self {
            client: Client::new(&kubeconfig, true)
                .with_context(|| format!("--kubeconfig {file}"))?,
            kubeconfig,
            file,
            groups,
        })
    }

    /// A client with connections of its own.
    pub(crate) fn reconnected(&self) -> Result<Self> {
        Ok(Self {
            client: Client::new(&self.kubeconfig, true)?,
            kubeconfig: self.kubeconfig.clone(),
            file: self.file.clone(),
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
            file: self.file.clone(),
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
            _ => Err(self.rejected(path, status, &answer)),
        }
    }

    /// Gets a path; fails unless the status is 200.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.send("GET", path, None).await?;
        if status == 200 {
            return Ok(answer);
        }
        Err(self.rejected(path, status, &answer))
    }

    /// The error for a response to a GET.
    fn rejected(&self, path: &str, status: u16, answer: &Value) -> anyhow::Error {
        let message = message(answer);
        if status == 401 {
            return anyhow!(
                "GET {path}: 401 {message}: {} rejects the credentials of the kubeconfig {}, which \
                 may have expired; give a kubeconfig with valid ones by --kubeconfig",
                self.kubeconfig.server,
                self.file
            );
        }
        anyhow!("GET {path}: {status} {message}")
    }

    /// Whether a namespace exists.
    pub(crate) async fn has_namespace(&self, name: &str) -> Result<bool> {
        let path = format!("/api/v1/namespaces/{name}");
        let (status, answer) = self.send("GET", &path, None).await?;
        match status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.rejected(&path, status, &answer)),
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

#[cfg(test)]
mod tests {
    use kube_http::Kubeconfig;
    use serde_json::json;

    use super::Cluster;
    use crate::args;

    fn cluster(groups: &[&str]) -> Cluster {
        let folder = tempfile::tempdir().expect("temporary directory");
        let config = Kubeconfig {
            server: "https://127.0.0.1:1".to_owned(),
            token: Some("t".to_owned()),
            ca: b"no certificate".to_vec(),
            ..Kubeconfig::default()
        };
        let file = folder.path().join("kubeconfig");
        let kubeconfig = config.save(&file, "default").expect("written");
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        let flags = args::Cluster { kubeconfig, groups };
        // The file names no client certificate, only a token.
        let text = std::fs::read_to_string(&file).expect("read");
        let mut written: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        written["users"][0]["user"] = json!({"token": "t"});
        std::fs::write(&file, written.to_string()).expect("written");
        Cluster::of(&flags).expect("a cluster")
    }

    #[test]
    fn repeated_group_counts_once() {
        assert_eq!(cluster(&["b", "a", "b"]).groups, ["b", "a"]);
    }

    #[test]
    fn rejected_credentials_name_the_kubeconfig() {
        let cluster = cluster(&["g"]);
        let status = json!({"message": "Unauthorized"});
        for (code, expected) in [(401, true), (403, false)] {
            let message = cluster.rejected("/apis", code, &status).to_string();
            assert!(
                message.contains(&format!("{code} Unauthorized")),
                "{message}"
            );
            assert_eq!(message.contains(&cluster.file), expected, "{message}");
        }
    }
}
