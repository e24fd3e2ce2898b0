//! Paths and writes of objects: Secrets by update, APIServices by server-side apply.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use serde_json::{Value, json};

use super::{KubeApiserver, State, status};

/// Resources by the path of their collection; longer paths first.
const COLLECTIONS: [(&str, &str); 7] = [
    ("/api/v1/namespaces/kube-system/configmaps", "configmaps"),
    ("/api/v1/namespaces/ark-system/secrets", "secrets"),
    ("/api/v1/namespaces/hooks/services", "services"),
    (
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
    ),
    (
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ),
    ("/apis/apiregistration.k8s.io/v1/apiservices", "apiservices"),
    ("/api/v1/namespaces", "namespaces"),
];
/// Resources that may be listed with a name only.
pub(super) const BY_NAME: [&str; 2] = ["secrets", "apiservices"];

/// Resource and name of a path.
pub(super) fn located(path: &str) -> Option<(&'static str, Option<&str>)> {
    COLLECTIONS.into_iter().find_map(|(collection, resource)| {
        let rest = path.strip_prefix(collection)?;
        match rest.strip_prefix('/') {
            None => rest.is_empty().then_some((resource, None)),
            Some(name) => (!name.contains('/')).then_some((resource, Some(name))),
        }
    })
}

/// The name of the field selector.
pub(super) fn selected(query: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let (_, selector) = pairs.find(|(key, _)| key == "fieldSelector")?;
    Some(selector.strip_prefix("metadata.name=")?.to_owned())
}

impl State {
    /// A PUT, or a PATCH that applies.
    pub(super) fn write(
        &mut self,
        head: &Parts,
        resource: &'static str,
        name: &str,
        body: Value,
    ) -> (u16, Value) {
        self.writes.push(format!("{} {resource}", head.method));
        if self.forbidden.contains(resource) {
            return (403, status(403, "Forbidden", "no rule"));
        }
        let Some(current) = self.objects.get(&(resource, name.to_owned())).cloned() else {
            return match body["metadata"]["uid"].is_string() {
                true => (409, status(409, "Conflict", "uid mismatch")),
                false => (404, status(404, "NotFound", "not found")),
            };
        };
        let written = match head.method.as_str() {
            "PUT" => update(&current, body),
            "PATCH" => apply(head, current, &body),
            method => Err((405, status(405, "MethodNotAllowed", method))),
        };
        match written {
            Err(rejected) => rejected,
            Ok(object) => {
                self.log(resource, "MODIFIED", name, object);
                self.get(resource, name)
            }
        }
    }
}

fn update(current: &Value, body: Value) -> Result<Value, (u16, Value)> {
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    if version(current) != version(&body) {
        return Err((409, status(409, "Conflict", "the object has been modified")));
    }
    Ok(body)
}

/// As a real kube-apiserver 1.37 does: of the identity, only `metadata.name` and `uid` are needed.
fn apply(head: &Parts, mut current: Value, body: &Value) -> Result<Value, (u16, Value)> {
    let media = head.headers.get("content-type");
    if media.is_none_or(|media| media != "application/apply-patch+yaml") {
        return Err((415, status(415, "UnsupportedMediaType", "not an apply")));
    }
    let query = head.uri.query().unwrap_or_default();
    if !query.contains("fieldManager=") || !query.contains("force=true") {
        return Err((400, status(400, "BadRequest", "fieldManager and force")));
    }
    if body["metadata"]["uid"] != current["metadata"]["uid"] {
        return Err((422, status(422, "Invalid", "field is immutable")));
    }
    let only = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": current["metadata"]["name"], "uid": current["metadata"]["uid"]},
        "spec": {"caBundle": body["spec"]["caBundle"]},
    });
    if *body != only {
        return Err((400, status(400, "BadRequest", "other fields are applied")));
    }
    current["spec"]["caBundle"] = body["spec"]["caBundle"].clone();
    Ok(current)
}

impl KubeApiserver {
    /// Creates or replaces a configuration of webhooks.
    pub(crate) fn webhooks(&self, resource: &'static str, name: &str, webhooks: &Value) {
        let kind = match resource {
            "mutatingwebhookconfigurations" => "MutatingWebhookConfiguration",
            _ => "ValidatingWebhookConfiguration",
        };
        let object = json!({
            "kind": kind, "apiVersion": "admissionregistration.k8s.io/v1",
            "metadata": {"name": name}, "webhooks": webhooks,
        });
        self.change(|state| state.log(resource, "MODIFIED", name, object));
    }

    /// Creates the Service of a webhook.
    pub(crate) fn service(&self, name: &str, cluster_ip: &str, port: u16) {
        let object = json!({
            "kind": "Service", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "hooks"},
            "spec": {"type": "ClusterIP", "clusterIP": cluster_ip, "ports": [{"port": port}]},
        });
        self.change(|state| state.log("services", "MODIFIED", name, object));
    }

    /// Sets the labels of a namespace.
    pub(crate) fn label_namespace(&self, name: &str, labels: &Value) {
        let object = json!({
            "kind": "Namespace", "apiVersion": "v1",
            "metadata": {"name": name, "labels": labels}, "status": {"phase": "Active"},
        });
        self.change(|state| state.log("namespaces", "MODIFIED", name, object));
    }

    /// Creates or replaces the Secret of the chart with these values.
    pub(crate) fn secret(&self, data: &[(&str, &str)]) {
        let values = data.iter();
        let data: serde_json::Map<String, Value> = values
            .map(|(key, value)| ((*key).to_owned(), json!(STANDARD.encode(value))))
            .collect();
        let object = json!({
            "kind": "Secret", "apiVersion": "v1", "type": "Opaque",
            "metadata": {"name": "tls", "namespace": "ark-system", "labels": {"a": "b"}},
            "data": data,
        });
        self.change(|state| state.log("secrets", "MODIFIED", "tls", object));
    }

    /// The values of the Secret.
    pub(crate) fn secret_value(&self, key: &str) -> String {
        let secret = self.change(|state| state.get("secrets", "tls").1);
        assert_eq!(secret["metadata"]["labels"]["a"], "b", "is kept");
        let value = secret["data"][key].as_str().unwrap_or_default();
        String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()
    }

    /// Creates or replaces an APIService with this bundle.
    pub(crate) fn api_service(&self, name: &str, service: &Value, ca_bundle: Option<&str>) {
        let mut object = json!({
            "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1",
            "metadata": {"name": name, "uid": format!("uid-of-{name}")},
            "spec": {"service": service, "groupPriorityMinimum": 1000, "versionPriority": 15},
        });
        if let Some(bundle) = ca_bundle {
            object["spec"]["caBundle"] = json!(STANDARD.encode(bundle));
        }
        self.change(|state| state.log("apiservices", "MODIFIED", name, object));
    }

    /// The bundle of an APIService; empty without one.
    pub(crate) fn ca_bundle(&self, name: &str) -> String {
        let service = self.change(|state| state.get("apiservices", name).1);
        let bundle = service["spec"]["caBundle"].as_str().unwrap_or_default();
        String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap()
    }
}
