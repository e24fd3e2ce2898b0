//! The cluster: its CRDs, and objects as bytes.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use crd_schema::SelectableField;
use crd_schema::stored::selectable_of;
use kube_http::{Client, Kubeconfig};
use serde_json::Value;

use crate::args;

/// Objects in a page of a list.
const PAGE: usize = 500;

/// A cluster that can be asked.
#[derive(Debug)]
pub(super) struct Cluster {
    client: Client,
    group: String,
}

/// A kind that the cluster keeps as a CRD.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) namespaced: bool,
    /// The version in which objects are stored.
    pub(super) storage: String,
    /// All versions, with whether each is served and has the subresource status.
    pub(super) versions: Vec<(String, bool, bool)>,
    /// The fields of field selectors of all versions.
    pub(super) selectable: Vec<SelectableField>,
}

/// All objects of a kind at one revision of the cluster.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) resource_version: String,
    pub(super) objects: Vec<Value>,
}

// === impl Cluster ===

impl Cluster {
    pub(super) fn of(cluster: &args::Cluster) -> Result<Self> {
        let kubeconfig = Kubeconfig::load(&cluster.kubeconfig)?;
        Ok(Self {
            client: Client::new(&kubeconfig, true)?,
            group: cluster.group.clone(),
        })
    }

    /// The API group that is meant.
    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// Sends JSON; status and JSON of the answer.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let body = body.map(kube_json::to_vec).unwrap_or_default();
        let (status, bytes) = self.client.bytes(method, path, Bytes::from(body)).await?;
        let parsed = kube_json::parse(&bytes);
        let parsed = parsed.with_context(|| format!("{method} {path}: {status}, and no JSON"))?;
        Ok((status, parsed.value))
    }

    /// An answer of success.
    async fn get(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.send("GET", path, None).await?;
        if status == 200 {
            return Ok(answer);
        }
        bail!("GET {path}: {}", message(&answer))
    }

    /// Whether there is such a namespace.
    pub(super) async fn has_namespace(&self, name: &str) -> Result<bool> {
        let path = format!("/api/v1/namespaces/{name}");
        let (status, answer) = self.send("GET", &path, None).await?;
        match status {
            200 => Ok(true),
            404 => Ok(false),
            _ => bail!("GET {path}: {}", message(&answer)),
        }
    }

    /// The kinds of the group, by plural name.
    pub(super) async fn kinds(&self) -> Result<Vec<Kind>> {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let definitions = self.pages(path).await?.objects;
        let ours = definitions
            .iter()
            .filter(|it| it["spec"]["group"] == *self.group);
        let mut kinds: Vec<Kind> = ours.map(Kind::of).collect::<Result<_>>()?;
        if kinds.is_empty() {
            bail!("the cluster has no CRDs of the group {}", self.group);
        }
        kinds.sort_by(|a, b| a.plural.cmp(&b.plural));
        Ok(kinds)
    }

    /// Every object of a kind in its storage version.
    pub(super) async fn list(&self, kind: &Kind) -> Result<Listed> {
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
        self.pages(&format!("/apis/{group}/{storage}/{plural}"))
            .await
    }

    async fn pages(&self, path: &str) -> Result<Listed> {
        let mut listed = Listed {
            resource_version: String::new(),
            objects: Vec::new(),
        };
        let mut more = String::new();
        loop {
            let mut page = self.get(&format!("{path}?limit={PAGE}{more}")).await?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            // All pages are of one revision, which each of them tells.
            listed.resource_version = text(&page["metadata"]["resourceVersion"]);
            let token = text(&page["metadata"]["continue"]);
            if let Value::Array(items) = page["items"].take() {
                listed.objects.extend(items);
            }
            if token.is_empty() {
                return Ok(listed);
            }
            more = format!("&continue={token}");
        }
    }
}

/// What an answer says is wrong.
pub(super) fn message(answer: &Value) -> &str {
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
        Ok(Self {
            group: text(&spec["group"]),
            plural: text(&spec["names"]["plural"]),
            namespaced: spec["scope"] == "Namespaced",
            storage: text(&storage.context("a CRD without a storage version")?["name"]),
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

    /// Where objects of a version are.
    pub(super) fn path(&self, version: &str, namespace: &str) -> String {
        let Self { group, plural, .. } = self;
        if namespace.is_empty() {
            format!("/apis/{group}/{version}/{plural}")
        } else {
            format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
        }
    }
}
