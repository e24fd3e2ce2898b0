//! A rendered object.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// API version, kind, path segment, and whether the kind is namespaced.
const RESOURCES: &[(&str, &str, &str, bool)] = &[
    ("v1", "ConfigMap", "configmaps", true),
    (
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        true,
    ),
    ("v1", "Secret", "secrets", true),
    ("v1", "Service", "services", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
    ("apps/v1", "Deployment", "deployments", true),
    (
        "policy/v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        true,
    ),
    (
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "networkpolicies",
        true,
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "clusterroles",
        false,
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        false,
    ),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", true),
    (
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "rolebindings",
        true,
    ),
    (
        "apiregistration.k8s.io/v1",
        "APIService",
        "apiservices",
        false,
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1",
        "FlowSchema",
        "flowschemas",
        false,
    ),
    ("cert-manager.io/v1", "Certificate", "certificates", true),
    ("cert-manager.io/v1", "Issuer", "issuers", true),
    (
        "monitoring.coreos.com/v1",
        "PodMonitor",
        "podmonitors",
        true,
    ),
    (
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        "prometheusrules",
        true,
    ),
    (
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        "servicemonitors",
        true,
    ),
];

/// An object of the chart.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// The object as rendered.
    pub(crate) value: Value,
}

impl Object {
    /// Parses all documents of a text.
    ///
    /// # Errors
    /// If the text is not YAML.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>> {
        let documents = serde_saphyr::from_multiple::<Value>(text)?;
        let objects = documents.into_iter().filter(|value| !value.is_null());
        Ok(objects.map(|value| Self { value }).collect())
    }

    /// The kind, or an empty text.
    pub(crate) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// The name, or an empty text.
    pub(crate) fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Kind and name, for messages.
    pub(crate) fn id(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// Path of the collection in which the object is created.
    ///
    /// # Errors
    /// If the kind is unknown, or a namespaced object has no namespace: `kubectl apply` would put it
    /// into the namespace of the user's context.
    pub(crate) fn collection(&self) -> Result<String> {
        let version = self.value["apiVersion"].as_str().unwrap_or_default();
        let known = RESOURCES
            .iter()
            .find(|(v, kind, ..)| *v == version && *kind == self.kind());
        let (_, _, plural, namespaced) =
            known.with_context(|| format!("unknown kind {version} {}", self.kind()))?;
        let root = if version.contains('/') { "apis" } else { "api" };
        if !namespaced {
            return Ok(format!("/{root}/{version}/{plural}"));
        }
        let namespace = self.value["metadata"]["namespace"].as_str();
        let namespace = namespace.with_context(|| format!("{} has no namespace", self.id()))?;
        Ok(format!("/{root}/{version}/namespaces/{namespace}/{plural}"))
    }

    /// Path of the object.
    ///
    /// # Errors
    /// As for the collection.
    pub(crate) fn path(&self) -> Result<String> {
        Ok(format!("{}/{}", self.collection()?, self.name()))
    }
}

/// The only object of a kind.
///
/// # Errors
/// If there is none, or more than one.
pub(crate) fn only<'a>(objects: &'a [Object], kind: &str) -> Result<&'a Object> {
    let mut found = objects.iter().filter(|object| object.kind() == kind);
    let first = found.next().with_context(|| format!("no {kind}"))?;
    anyhow::ensure!(found.next().is_none(), "more than one {kind}");
    Ok(first)
}
