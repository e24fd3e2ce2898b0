//! Users and their rights.

use std::time::Duration;

use anyhow::Result;
use kube_http::{Client, Kubeconfig};
use scenarios::engine::certificates::{Pair, Subject};
use serde_json::{Value, json};

use crate::call::Call;
use crate::crds::GROUPS;
use crate::poll::until;
use crate::world::World;

/// A user with a client certificate of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// Through kube-apiserver.
    pub(crate) client: Client,
    /// Through kube-apiserver, as a file.
    pub(crate) kubeconfig: Kubeconfig,
    /// The certificate.
    pub(crate) pair: Pair,
}

/// Rules of a role, in the form of RBAC, for both groups.
pub(crate) fn rule(verbs: &[&str], resources: &[&str], names: &[&str]) -> Value {
    json!({"apiGroups": GROUPS, "verbs": verbs, "resources": resources, "resourceNames": names})
}

/// A subject of a binding.
pub(crate) fn user(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name})
}

/// A group as subject of a binding.
pub(crate) fn group(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name})
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

impl World {
    /// Creates a user in an optional group.
    pub(crate) fn user(&self, name: &str, group: Option<&str>) -> Result<User> {
        let cluster = &self.cluster.control_plane;
        let pair = cluster.users.issue(&Subject {
            name,
            group,
            ..Subject::default()
        })?;
        let kubeconfig = cluster.kubeconfig_of(&pair.certificate, &pair.key);
        Ok(User {
            client: Client::new(&kubeconfig, true)?,
            kubeconfig,
            pair,
        })
    }

    /// A client of the gateway's own port with a certificate.
    pub(crate) fn direct(&self, pair: &Pair) -> Result<Client> {
        let gateway = &self.cluster.gateway;
        let kubeconfig = gateway.direct(&pair.certificate, &pair.key)?;
        Ok(Client::new(&kubeconfig, true)?)
    }

    /// Creates a role of a namespace, or a ClusterRole if `namespace` is empty, and binds it.
    pub(crate) async fn grant(
        &self,
        namespace: &str,
        name: &str,
        rules: &[Value],
        subject: &Value,
    ) -> Result<()> {
        let kind = if namespace.is_empty() {
            "ClusterRole"
        } else {
            "Role"
        };
        let folder = if namespace.is_empty() {
            RBAC.to_owned()
        } else {
            format!("{RBAC}/namespaces/{namespace}")
        };
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": name}, "rules": rules});
        let plural = format!("{folder}/{}s", kind.to_lowercase());
        Call::new("POST", &plural)
            .body(&role)
            .json(&self.admin)
            .await?;
        self.bind(namespace, name, kind, subject).await
    }

    /// Binds an existing role in a namespace, or in the whole cluster if `namespace` is empty.
    pub(crate) async fn bind(
        &self,
        namespace: &str,
        role: &str,
        role_kind: &str,
        subject: &Value,
    ) -> Result<()> {
        let (kind, folder) = if namespace.is_empty() {
            ("ClusterRoleBinding", RBAC.to_owned())
        } else {
            ("RoleBinding", format!("{RBAC}/namespaces/{namespace}"))
        };
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
            "subjects": [subject],
        });
        let path = format!("{folder}/{}s", kind.to_lowercase());
        Call::new("POST", &path)
            .body(&binding)
            .json(&self.admin)
            .await?;
        Ok(())
    }

    /// Waits until kube-apiserver's RBAC, which reads its roles from informers, allows a user
    /// something.
    pub(crate) async fn wait_allowed(&self, spec: &Value) -> Result<()> {
        let review = json!({"apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview", "spec": spec});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        until(Duration::from_secs(20), async || {
            let call = Call::new("POST", path).body(&review);
            let status = call.json(&self.admin).await?["status"].clone();
            Ok(if status["allowed"] == true {
                Ok(())
            } else {
                Err(format!("{spec} is not allowed"))
            })
        })
        .await?;
        Ok(())
    }
}
