//! Rights of the caller, and of the cluster's controllers.

use anyhow::{Result, bail};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::crds::cluster::{Cluster, Definition, message};

/// Concurrent reviews.
const AT_ONCE: usize = 8;
/// Controllers that act on all kinds.
const CONTROLLERS: [&str; 2] = ["generic-garbage-collector", "namespace-controller"];

/// A right.
#[derive(Clone, Debug)]
pub(super) struct Right {
    group: String,
    resource: String,
    verb: &'static str,
    namespace: String,
}

fn right(group: &str, resource: &str, verb: &'static str) -> Right {
    Right {
        group: group.to_owned(),
        resource: resource.to_owned(),
        verb,
        namespace: String::new(),
    }
}

/// Returns the rights that a move needs.
pub(super) fn needed(crds: &[Definition], namespace: &str, policy: bool) -> Vec<Right> {
    let mut rights = Vec::new();
    for verb in ["get", "create", "update"] {
        rights.push(Right {
            namespace: namespace.to_owned(),
            ..right("", "configmaps", verb)
        });
    }
    let definitions = "customresourcedefinitions";
    for verb in ["list", "get", "update"] {
        rights.push(right("apiextensions.k8s.io", definitions, verb));
    }
    for verb in ["get", "patch"] {
        rights.push(right("apiregistration.k8s.io", "apiservices", verb));
    }
    if policy {
        for resource in [
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
        ] {
            for verb in ["get", "create", "delete"] {
                rights.push(right("admissionregistration.k8s.io", resource, verb));
            }
        }
    }
    for definition in crds {
        let kind = &definition.kind;
        rights.push(right(&kind.group, &kind.plural, "list"));
        // Writes on trial.
        if policy {
            rights.push(right(&kind.group, &kind.plural, "patch"));
        }
    }
    rights
}

/// Returns a message for each right that the caller lacks.
///
/// # Errors
/// If the cluster does not review rights.
pub(super) async fn lacking(cluster: &Cluster, rights: Vec<Right>) -> Result<Vec<String>> {
    let reviews = rights.into_iter().map(|right| {
        async move {
            let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": right.attributes()},
            });
            let (status, response) = cluster.send("POST", path, Some(&review)).await?;
            if status != 201 {
                bail!("POST {path}: {status} {}", message(&response));
            }
            let allowed = response["status"]["allowed"] == true;
            Ok((!allowed).then(|| format!("you lack the right to {right}")))
        }
        .boxed_local()
    });
    let reviews = stream::iter(reviews).buffered(AT_ONCE);
    let lacking: Vec<Option<String>> = reviews.try_collect().await?;
    Ok(lacking.into_iter().flatten().collect())
}

/// Returns a warning for each controller that may not act on the kinds: it would not collect or delete
/// their objects. The gateway asks the same kube-apiserver.
///
/// # Errors
/// If the cluster is unreachable.
pub(super) async fn controllers(cluster: &Cluster, crds: &[Definition]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for controller in CONTROLLERS {
        for definition in crds {
            let right = right(&definition.kind.group, &definition.kind.plural, "delete");
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": {
                    "user": format!("system:serviceaccount:kube-system:{controller}"),
                    "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system",
                        "system:authenticated"],
                    "resourceAttributes": right.attributes(),
                },
            });
            let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
            let (status, response) = cluster.send("POST", path, Some(&review)).await?;
            // A caller without this right does not learn more.
            if status == 201 && response["status"]["allowed"] != true {
                warnings.push(format!("{controller} lacks the right to {right}"));
            }
        }
    }
    Ok(warnings)
}

impl Right {
    fn attributes(&self) -> Value {
        json!({
            "group": self.group, "resource": self.resource, "verb": self.verb,
            "namespace": self.namespace,
        })
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            group,
            resource,
            verb,
            namespace,
        } = self;
        write!(out, "{verb} {resource}")?;
        if !group.is_empty() {
            write!(out, ".{group}")?;
        }
        if !namespace.is_empty() {
            write!(out, " in the namespace {namespace}")?;
        }
        Ok(())
    }
}
