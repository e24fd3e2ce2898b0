//! The rules of webhooks.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules`.

use crate::admission::{Attributes, Operation};
use crate::kube::informer::webhooks;

/// Requests that a webhook concerns.
#[derive(Debug)]
pub(super) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resource and subresource.
    resources: Vec<(String, String)>,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Namespaced,
    Cluster,
    /// No such scope, so nothing matches.
    Unknown,
}

impl Rule {
    pub(super) fn of(rule: &webhooks::Rule) -> Self {
        let resources = rule.resources.iter().map(|text| {
            let (resource, subresource) = text.split_once('/').unwrap_or((text, ""));
            (resource.to_owned(), subresource.to_owned())
        });
        Self {
            operations: rule.operations.clone(),
            groups: rule.api_groups.clone(),
            versions: rule.api_versions.clone(),
            resources: resources.collect(),
            scope: match rule.scope.as_deref() {
                None | Some("*") => Scope::All,
                Some("Namespaced") => Scope::Namespaced,
                Some("Cluster") => Scope::Cluster,
                Some(_) => Scope::Unknown,
            },
        }
    }

    /// Whether the rule is one for the write, if the resource is in this version.
    pub(super) fn matches(&self, attributes: &Attributes<'_>, version: &str) -> bool {
        let resource = attributes.served.group_resource();
        self.in_scope(attributes.namespace)
            && self.has_operation(attributes.operation)
            && any_or(&self.groups, &resource.group)
            && any_or(&self.versions, version)
            && self.resources.iter().any(|(name, subresource)| {
                (name == "*" || *name == resource.resource)
                    && (subresource == "*" || subresource == attributes.subresource)
            })
    }

    fn in_scope(&self, namespace: &str) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Namespaced => !namespace.is_empty(),
            Scope::Cluster => namespace.is_empty(),
            Scope::Unknown => false,
        }
    }

    fn has_operation(&self, operation: Operation) -> bool {
        let mut operations = self.operations.iter();
        operations.any(|it| it == "*" || it == operation.as_str())
    }
}

fn any_or(items: &[String], wanted: &str) -> bool {
    items.iter().any(|item| item == "*" || item == wanted)
}
