//! Access to the cluster: its CRDs, and objects as bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use crd_schema::SelectableField;
use crd_schema::stored::selectable_of;
use kube_http::{Client, Kubeconfig};
use serde_json::Value;

use crate::args;

/// Objects per page of a list.
const PAGE: usize = 500;

/// A client of the cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    client: Client,
    groups: Vec<String>,
}

/// A kind that the cluster stores as a CRD.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) namespaced: bool,
    /// The storage version.
    pub(super) storage: String,
    /// All versions, each with whether it is served and has the status subresource.
    pub(super) versions: Vec<(String, bool, bool)>,
    /// Selectable fields of all versions.
    pub(super) selectable: Vec<SelectableField>,
}

// === impl Cluster ===

impl Cluster {
    pub(super) fn of(cluster: &args::Cluster) -> Result<Self> {
        let kubeconfig = Kubeconfig::load(&cluster.kubeconfig)?;
        Ok(Self {
            client: Client::new(&kubeconfig, true)?,
            groups: cluster.groups.clone(),
        })
    }

    /// Whether an API group is selected.
    pub(super) fn means(&self, group: &str) -> bool {
        self.groups.iter().any(|it| it == group)
    }

    /// Sends JSON; returns status code and JSON of the response.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let body = body.map(kube_json::to_vec).unwrap_or_default();
        let (status, bytes) = self.client.bytes(method, path, Bytes::from(body)).await?;
        let answer = kube_json::reparse(&bytes);
        let answer = answer
            .with_context(|| format!("{method} {path}: {status}, and the response is not JSON"))?;
        Ok((status, answer))
    }

    /// Gets a path; fails unless the status is 200.
    async fn get(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.send("GET", path, None).await?;
        if status == 200 {
            return Ok(answer);
        }
        bail!("GET {path}: {}", message(&answer))
    }

    /// Whether a namespace exists.
    pub(super) async fn has_namespace(&self, name: &str) -> Result<bool> {
        let path = format!("/api/v1/namespaces/{name}");
        let (status, answer) = self.send("GET", &path, None).await?;
        match status {
            200 => Ok(true),
            404 => Ok(false),
            _ => bail!("GET {path}: {}", message(&answer)),
        }
    }

    /// Returns the kinds of the groups, by group and plural name.
    pub(super) async fn kinds(&self) -> Result<Vec<Kind>> {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let mut kinds = Vec::new();
        self.pages(path, |definition| {
            let group = definition["spec"]["group"].as_str();
            if group.is_some_and(|group| self.means(group)) {
                kinds.push(Kind::of(&definition)?);
            }
            Ok(())
        })
        .await?;
        for group in &self.groups {
            if !kinds.iter().any(|kind| kind.group == *group) {
                bail!("the cluster has no CRDs of the group {group}");
            }
        }
        kinds.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
        Ok(kinds)
    }

    /// Returns the APIServices that delegate the kinds to another server, which hides the CRDs.
    pub(super) async fn handed_over(&self, kinds: &[Arc<Kind>]) -> Result<Vec<String>> {
        let versions = kinds.iter().flat_map(|kind| {
            let versions = kind.versions.iter();
            versions.map(|(version, ..)| format!("{version}.{}", kind.group))
        });
        let names: BTreeSet<String> = versions.collect();
        let mut handed_over = Vec::new();
        for name in names {
            let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}");
            let (status, answer) = self.send("GET", &path, None).await?;
            match status {
                // An APIService without a service is served by kube-apiserver itself.
                200 if answer["spec"]["service"].is_object() => handed_over.push(name),
                200 | 404 => {}
                _ => bail!("GET {path}: {}", message(&answer)),
            }
        }
        Ok(handed_over)
    }

    /// Passes every object of a kind in its storage version to a callback, page by page; returns
    /// the list's resourceVersion.
    pub(super) async fn list(
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
pub(super) fn in_the_way(handed_over: &[String]) -> Option<String> {
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

    /// Returns the path of objects in a version.
    pub(super) fn path(&self, version: &str, namespace: &str) -> String {
        let Self { group, plural, .. } = self;
        if namespace.is_empty() {
            format!("/apis/{group}/{version}/{plural}")
        } else {
            format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
        }
    }
}
