//! The ValidatingAdmissionPolicy that closes the CRDs: kube-apiserver rejects writes of the groups'
//! objects, and the deletion of their CRDs.
//!
//! It acts on requests that kube-apiserver serves from the CRDs. Those that it passes on to the
//! gateway are not subject to its admission.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{POLL_INTERVAL, until};
use crate::crds::cluster::{Cluster, Definition, message};

/// Path of policies and bindings.
const API: &str = "/apis/admissionregistration.k8s.io/v1";
const POLICIES: &str = "validatingadmissionpolicies";
const BINDINGS: &str = "validatingadmissionpolicybindings";
/// Path of the addresses of the kube-apiservers.
const SERVERS: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices\
                       ?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes";

/// Consecutive rejections on new connections, for each kube-apiserver, after which the policy is
/// taken to be in force on all of them.
const REJECTIONS: usize = 4;
/// kube-apiserver compiles policies once per second.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Wait without an object that could be written on trial.
const BLIND: Duration = Duration::from_secs(5);
/// Time for writes that were admitted before.
const DRAIN: Duration = Duration::from_millis(1000);

/// The policy of a move.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    name: String,
}

/// How a write on trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    Rejected,
    Accepted,
    /// There is no object to write.
    None,
}

impl Policy {
    /// The policy of moves whose state is in `namespace`.
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            name: format!("arkctl-closed-crds.{namespace}"),
        }
    }

    /// Whether the cluster has both objects.
    ///
    /// # Errors
    /// If the cluster rejects a request.
    pub(super) async fn exists(&self, cluster: &Cluster) -> Result<bool> {
        for kind in [POLICIES, BINDINGS] {
            let path = format!("{API}/{kind}/{}", self.name);
            if cluster.find(&path).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Creates it while an APIService hides the CRDs, so that it cannot be tried.
    ///
    /// # Errors
    /// If the cluster rejects it.
    pub(super) async fn close_hidden(&self, cluster: &Cluster, crds: &[Definition]) -> Result<()> {
        if !self.exists(cluster).await? {
            self.create(cluster, crds).await?;
            sleep(BLIND).await;
        }
        Ok(())
    }

    /// Creates it, waits until it is in force, and until writes that were admitted before are done.
    ///
    /// # Errors
    /// If the cluster rejects it, or it is not in force in time.
    pub(super) async fn close(&self, cluster: &Cluster, crds: &[Definition]) -> Result<()> {
        self.create(cluster, crds).await?;
        let servers = servers(cluster).await?;
        let (mut rejections, mut object) = (0, String::new());
        until(TIMEOUT, async || {
            // A new connection may reach another kube-apiserver.
            match self
                .attempt(&cluster.reconnected()?, crds, &mut object)
                .await?
            {
                Trial::Rejected => rejections += 1,
                Trial::Accepted => rejections = 0,
                Trial::None => {
                    sleep(BLIND).await;
                    return Ok(Ok(()));
                }
            }
            Ok(if rejections >= REJECTIONS * servers {
                Ok(())
            } else {
                Err(format!("the policy {} is not in force", self.name))
            })
        })
        .await?;
        sleep(drain(cluster, crds).await?).await;
        Ok(())
    }

    async fn create(&self, cluster: &Cluster, crds: &[Definition]) -> Result<()> {
        for (kind, object) in [(POLICIES, self.policy(crds)), (BINDINGS, self.binding())] {
            let (status, response) = cluster
                .send("POST", &format!("{API}/{kind}"), Some(&object))
                .await?;
            if status != 201 && response["reason"] != "AlreadyExists" {
                bail!("cannot create {kind} {}: {}", self.name, message(&response));
            }
        }
        Ok(())
    }

    /// Deletes it, and waits until writes are accepted.
    ///
    /// # Errors
    /// If the cluster rejects a request, or the policy stays in force.
    pub(super) async fn open(&self, cluster: &Cluster, crds: &[Definition]) -> Result<()> {
        for kind in [BINDINGS, POLICIES] {
            let path = format!("{API}/{kind}/{}", self.name);
            let (status, response) = cluster.send("DELETE", &path, None).await?;
            if !matches!(status, 200 | 202 | 404) {
                bail!("cannot delete {kind} {}: {}", self.name, message(&response));
            }
        }
        let mut object = String::new();
        until(TIMEOUT, async || {
            let trial = self
                .attempt(&cluster.reconnected()?, crds, &mut object)
                .await?;
            Ok(if trial == Trial::Rejected {
                Err(format!("the policy {} is still in force", self.name))
            } else {
                Ok(())
            })
        })
        .await
    }

    /// Changes nothing in an existing object, as a dry run. `object` is its path, which is looked up if
    /// it is empty.
    async fn attempt(
        &self,
        cluster: &Cluster,
        crds: &[Definition],
        object: &mut String,
    ) -> Result<Trial> {
        loop {
            if object.is_empty() {
                let Some(found) = any_object(cluster, crds).await? else {
                    return Ok(Trial::None);
                };
                *object = found;
            }
            let (status, response) = cluster
                .patch(&format!("{object}?dryRun=All"), &json!({}))
                .await?;
            let text = message(&response);
            match status {
                404 => object.clear(),
                // Another webhook or policy may reject it first.
                _ if text.contains(&self.name) && text.contains("denied request") => {
                    return Ok(Trial::Rejected);
                }
                _ => return Ok(Trial::Accepted),
            }
        }
    }

    fn policy(&self, crds: &[Definition]) -> Value {
        let mut groups: Vec<&str> = crds.iter().map(|it| it.kind.group.as_str()).collect();
        groups.dedup();
        let names: Vec<&str> = crds.iter().map(|it| it.kind.crd.0.as_str()).collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/managed-by": "arkctl"}},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": groups, "apiVersions": ["*"], "resources": ["*/*"],
                        "operations": ["CREATE", "UPDATE", "DELETE"]},
                    {"apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["*"],
                        "resources": ["customresourcedefinitions"], "resourceNames": names,
                        "operations": ["DELETE"]},
                ]},
                "validations": [{
                    "expression": "false",
                    "message": "ark-apiserver takes these objects over, or has taken them over: \
                                the CRDs are closed by arkctl adopt. Retry in some seconds; \
                                arkctl return opens them again",
                    "reason": "Forbidden",
                }],
            },
        })
    }

    fn binding(&self) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/managed-by": "arkctl"}},
            "spec": {"policyName": self.name, "validationActions": ["Deny"]},
        })
    }
}

/// Returns the path of an object of one of the kinds.
async fn any_object(cluster: &Cluster, crds: &[Definition]) -> Result<Option<String>> {
    for definition in crds {
        let kind = &definition.kind;
        let list = format!("{}?limit=1", kind.path(&kind.storage, ""));
        let list = cluster.get(&list).await?;
        let metadata = &list["items"][0]["metadata"];
        if let Some(name) = metadata["name"].as_str() {
            let namespace = metadata["namespace"].as_str().unwrap_or_default();
            let path = kind.path(&kind.storage, namespace);
            return Ok(Some(format!("{path}/{name}")));
        }
    }
    Ok(None)
}

/// Returns the number of kube-apiservers; 1 if it is unknown.
async fn servers(cluster: &Cluster) -> Result<usize> {
    let (status, list) = cluster.send("GET", SERVERS, None).await?;
    if status != 200 {
        return Ok(1);
    }
    let slices = list["items"].as_array().into_iter().flatten();
    let endpoints = slices.filter_map(|slice| slice["endpoints"].as_array());
    let addresses = endpoints
        .flatten()
        .filter_map(|it| it["addresses"].as_array());
    Ok(addresses.map(Vec::len).sum::<usize>().max(1))
}

/// Returns how long a write that the policy has admitted may take: webhooks that validate the kinds
/// may be called after it.
async fn drain(cluster: &Cluster, crds: &[Definition]) -> Result<Duration> {
    let path = format!("{API}/validatingwebhookconfigurations");
    let (status, list) = cluster.send("GET", &path, None).await?;
    if status != 200 {
        return Ok(DRAIN);
    }
    let configurations = list["items"].as_array().into_iter().flatten();
    let webhooks = configurations.filter_map(|it| it["webhooks"].as_array());
    let concerned = webhooks.flatten().filter(|webhook| {
        let rules = webhook["rules"].as_array().into_iter().flatten();
        let groups = rules.filter_map(|rule| rule["apiGroups"].as_array());
        let mut groups = groups.flatten().filter_map(Value::as_str);
        groups.any(|group| group == "*" || crds.iter().any(|it| it.kind.group == group))
    });
    let seconds = concerned.filter_map(|webhook| webhook["timeoutSeconds"].as_u64());
    let slowest = seconds.max().map(Duration::from_secs);
    Ok(slowest.unwrap_or_default().max(DRAIN) + POLL_INTERVAL)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::Policy;
    use crate::crds::cluster::Definition;
    use crate::crds::testing::kind;

    #[test]
    fn policy_names_the_groups_and_crds_of_the_move() {
        let definition = Definition {
            kind: Arc::new(kind()),
            object: Value::Null,
        };
        let policy = Policy::new("n").policy(&[definition.clone(), definition]);
        let rules = &policy["spec"]["matchConstraints"]["resourceRules"];
        assert_eq!(rules[0]["apiGroups"], serde_json::json!(["g"]));
        assert_eq!(rules[1]["resourceNames"][0], "r.g");
        assert_eq!(policy["metadata"]["name"], "arkctl-closed-crds.n");
    }
}
