//! The rights of the service account, as RBAC of a real kube-apiserver sees them.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::helm::{Helm, NAMESPACE};
use crate::object::Object;
use crate::rendered::items;
use crate::report::Report;

const SELF_MANAGED: &str = "{}";
const PROVIDED: &str = "{tls: {mode: provided, provided: {secretName: cert}}, apiService: \
    {caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==}}";

const REVIEWS: &[&str] = &[
    "create tokenreviews.authentication.k8s.io",
    "create subjectaccessreviews.authorization.k8s.io",
    "get,list,watch namespaces",
    "get services",
    "get,list,watch mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "get,list,watch validatingwebhookconfigurations.admissionregistration.k8s.io",
];
const API_SERVICES: &str = "get,list,watch,patch apiservices.apiregistration.k8s.io \
    v1alpha1.ark.mckinsey.com,v1prealpha1.ark.mckinsey.com";
const SECRET: &str = "get,list,watch,patch,update secrets ark-apiserver-tls";
const CONFIG_MAP: &str = "get,list,watch configmaps extension-apiserver-authentication";

/// Installs the roles, and compares all rules of the account in three namespaces with the expected
/// ones, in two TLS modes.
pub(crate) async fn check(cluster: &Cluster, helm: &Helm, report: &mut Report) -> Result<()> {
    for (values, tls) in [(SELF_MANAGED, true), (PROVIDED, false)] {
        let objects = Object::parse(&helm.template(&[values]).await?)?;
        let installed = install(cluster, &objects).await?;
        for namespace in [NAMESPACE, "kube-system", "default"] {
            let mut expected: BTreeSet<String> =
                REVIEWS.iter().map(|it| (*it).to_owned()).collect();
            if tls {
                expected.insert(API_SERVICES.to_owned());
            }
            if tls && namespace == NAMESPACE {
                expected.insert(SECRET.to_owned());
            }
            if namespace == "kube-system" {
                expected.insert(CONFIG_MAP.to_owned());
            }
            let found = rules(cluster, "ark-apiserver", namespace).await?;
            let others = rules(cluster, "another", namespace).await?;
            let found: BTreeSet<String> = found.difference(&others).cloned().collect();
            report.expect(&format!("rights in {namespace}"), found == expected, || {
                format!("{found:#?} instead of {expected:#?}")
            });
        }
        for path in installed {
            let (status, _) = cluster.client.json("DELETE", &path, None).await?;
            ensure!(status == 200, "cannot delete {path}: {status}");
        }
    }
    Ok(())
}

/// Creates roles and bindings; returns their paths.
async fn install(cluster: &Cluster, objects: &[Object]) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for object in objects {
        if object.kind().contains("Role") {
            let collection = object.collection()?;
            let created = cluster
                .client
                .json("POST", &collection, Some(&object.value));
            let (status, response) = created.await?;
            ensure!(status == 201, "{}: {}", object.id(), response["message"]);
            paths.push(object.path()?);
        }
    }
    Ok(paths)
}

/// The rules of a service account of the release's namespace in another one, one line each.
async fn rules(cluster: &Cluster, account: &str, namespace: &str) -> Result<BTreeSet<String>> {
    let user = format!("system:serviceaccount:{NAMESPACE}:{account}");
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    // RBAC reads its roles from informers, which lag.
    let mut last = BTreeSet::new();
    for _ in 0..50 {
        let response = cluster.as_user(&user, path, &review).await?;
        let status = &response["status"];
        ensure!(status["incomplete"] == false, "incomplete rules: {status}");
        let found: BTreeSet<String> = items(&status["resourceRules"]).flat_map(lines).collect();
        if found == last {
            return Ok(found);
        }
        last = found;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    anyhow::bail!("the rules of {user} keep changing")
}

fn lines(rule: &Value) -> Vec<String> {
    let list = |field: &str| -> Vec<String> {
        items(&rule[field])
            .filter_map(|it| it.as_str())
            .map(str::to_owned)
            .collect()
    };
    let (verbs, names) = (list("verbs").join(","), list("resourceNames").join(","));
    let mut lines = Vec::new();
    for group in list("apiGroups") {
        for resource in list("resources") {
            let suffix = if group.is_empty() {
                String::new()
            } else {
                format!(".{group}")
            };
            lines.push(
                format!("{verbs} {resource}{suffix} {names}")
                    .trim_end()
                    .to_owned(),
            );
        }
    }
    lines
}
