//! The APIServices of the moved versions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::until;
use crate::crds::cluster::{Cluster, Kind, message};

const API: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
/// Label by which kube-apiserver keeps the APIServices of CRDs. With it, it restores its own spec.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Annotation that is added and removed.
const BUMP: &str = "arkctl.ark.mckinsey.com/adopt";
/// Attempts to change an APIService that changes meanwhile.
const ATTEMPTS: usize = 20;
/// Time until kube-apiserver considers the gateway available and proxies requests.
const AVAILABLE: Duration = Duration::from_secs(60);

/// Where an APIService of the gateway points.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) port: u16,
    /// Authority of its certificate, PEM.
    pub(super) ca: Vec<u8>,
}

/// Returns the names of the APIServices of kinds.
pub(super) fn names(kinds: &[Arc<Kind>]) -> BTreeSet<String> {
    kinds.iter().flat_map(|kind| kind.api_services()).collect()
}

/// Makes an APIService point at the gateway, in one patch: kube-apiserver restores its own spec within
/// milliseconds as long as the label is there. Priorities stay.
///
/// # Errors
/// If the cluster rejects the change, or another server has the APIService.
pub(super) async fn take(cluster: &Cluster, name: &str, target: &Target) -> Result<()> {
    change(cluster, name, |found| {
        if points_at(found, target)? && !found["metadata"]["labels"][AUTOMANAGED].is_string() {
            return Ok(None);
        }
        Ok(Some(json!({
            "metadata": {"labels": {AUTOMANAGED: null}},
            "spec": {
                "service": {"namespace": target.namespace, "name": target.name,
                    "port": target.port},
                "caBundle": BASE64.encode(&target.ca),
                "insecureSkipTLSVerify": false,
            },
        })))
    })
    .await
}

/// Makes kube-apiserver serve and keep an APIService again. Unlike a deletion, this leaves no moment
/// without the APIService, in which requests get 404.
///
/// # Errors
/// If the cluster rejects the change.
pub(super) async fn give_back(cluster: &Cluster, name: &str) -> Result<()> {
    change(cluster, name, |found| {
        let automanaged = found["metadata"]["labels"][AUTOMANAGED] == "true";
        if found["spec"]["service"].is_null() && automanaged {
            return Ok(None);
        }
        Ok(Some(json!({
            "metadata": {"labels": {AUTOMANAGED: "true"}},
            "spec": {"service": null, "caBundle": null, "insecureSkipTLSVerify": null},
        })))
    })
    .await
}

/// Changes the resourceVersion of an APIService and nothing else, so that a patch which expects an
/// older one is rejected.
///
/// # Errors
/// If the cluster rejects the change.
pub(super) async fn bump(cluster: &Cluster, name: &str) -> Result<()> {
    for value in [json!("undone"), Value::Null] {
        let patch = json!({"metadata": {"annotations": {BUMP: value}}});
        let (status, response) = cluster.patch(&format!("{API}/{name}"), &patch).await?;
        if status != 200 {
            bail!("APIService {name}: {status} {}", message(&response));
        }
    }
    Ok(())
}

/// Changes an APIService that has not changed since it was read.
async fn change(
    cluster: &Cluster,
    name: &str,
    wanted: impl Fn(&Value) -> Result<Option<Value>>,
) -> Result<()> {
    let path = format!("{API}/{name}");
    for _ in 0..ATTEMPTS {
        let found = cluster.find(&path).await?;
        let found = found.with_context(|| {
            format!(
                "there is no APIService {name}: kube-apiserver makes it while the CRD is served"
            )
        })?;
        let Some(mut patch) = wanted(&found)? else {
            return Ok(());
        };
        patch["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
        let (status, response) = cluster.patch(&path, &patch).await?;
        match status {
            200 => return Ok(()),
            409 => {}
            _ => bail!("APIService {name}: {status} {}", message(&response)),
        }
    }
    bail!("APIService {name} changes all the time: which other program writes it?")
}

/// Whether an APIService points at the gateway.
///
/// # Errors
/// If it points at another server.
fn points_at(found: &Value, target: &Target) -> Result<bool> {
    let service = &found["spec"]["service"];
    if service.is_null() {
        return Ok(false);
    }
    if service["namespace"] == target.namespace.as_str() && service["name"] == target.name.as_str()
    {
        return Ok(true);
    }
    let name = &found["metadata"]["name"];
    bail!("APIService {name} points at another server: {service}")
}

/// Waits until kube-apiserver considers APIServices of the gateway available, and they still point at
/// it.
///
/// # Errors
/// With the condition of one that is not, when the time is over.
pub(super) async fn available(
    cluster: &Cluster,
    names: &BTreeSet<String>,
    target: &Target,
) -> Result<()> {
    for name in names {
        until(AVAILABLE, async || {
            let found = cluster.find(&format!("{API}/{name}")).await?;
            let found = found.unwrap_or_default();
            if !points_at(&found, target)? {
                return Ok(Err(format!("APIService {name} was changed back")));
            }
            let conditions = found["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            let available = conditions.find(|it| it["type"] == "Available");
            Ok(match available {
                Some(condition) if condition["status"] == "True" => Ok(()),
                Some(condition) => Err(format!(
                    "APIService {name} is not available: {}",
                    message(condition)
                )),
                None => Err(format!("APIService {name} has no condition")),
            })
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Target, points_at};

    #[test]
    fn api_service_of_another_server_is_not_taken() {
        let target = Target {
            namespace: "n".to_owned(),
            name: "ark".to_owned(),
            port: 443,
            ca: Vec::new(),
        };
        let of = |service| json!({"metadata": {"name": "v1.g"}, "spec": {"service": service}});
        assert!(!points_at(&json!({"spec": {}}), &target).expect("local"));
        let ours = of(json!({"namespace": "n", "name": "ark"}));
        assert!(points_at(&ours, &target).expect("ours"));
        let other = of(json!({"namespace": "n", "name": "other"}));
        let error = points_at(&other, &target).expect_err("another's");
        assert!(error.to_string().contains("v1.g"), "{error}");
    }
}
