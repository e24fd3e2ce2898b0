//! Admission webhooks of the cluster: which are called, with what, and what their responses mean.

#[path = "webhooks/failures.rs"]
mod failures;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::server::{Client, SOON, THINGS, TestResponse, TestServer};
use super::webhook_server::WebhookServer;

const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";
const PARTS: &str = "/apis/example.com/v1/namespaces/a/parts";

/// A server behind a cluster, a server of webhooks, and an administrator.
struct Case {
    server: TestServer,
    hooks: WebhookServer,
    admin: Client,
}

impl Case {
    async fn new(flags: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cluster/parts.yaml");
        let server = TestServer::new(&format!("--resources {folder} {flags}")).await;
        let mut case = Self {
            hooks: WebhookServer::start().await,
            admin: server.user("admin", Some("system:masters")).await,
            server,
        };
        case.enforced(1).await;
        case
    }

    /// Waits until the gauge of webhooks has this value.
    async fn enforced(&mut self, value: usize) {
        let line =
            format!("ark_apiserver_admission_enforcement_active{{mechanism=\"webhooks\"}} {value}");
        self.metric(&line).await;
    }

    /// Waits until the metrics contain a line.
    async fn metric(&mut self, line: &str) {
        let began = Instant::now();
        while !self
            .admin
            .request("GET /metrics", &[])
            .await
            .text
            .contains(line)
        {
            assert!(began.elapsed() < SOON, "never: {line}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// A webhook of this name at a path, for creates of things, changed by `more`.
    fn webhook(&self, path: &str, more: &Value) -> Value {
        let mut webhook = json!({
            "name": "w.example.com",
            "clientConfig": self.hooks.at(path),
            "rules": [{
                "operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"],
                "resources": ["things"], "scope": "*",
            }],
            "failurePolicy": "Fail", "matchPolicy": "Equivalent", "sideEffects": "None",
            "timeoutSeconds": 10, "admissionReviewVersions": ["v1"],
        });
        let more = more.as_object().unwrap().clone();
        webhook.as_object_mut().unwrap().extend(more);
        webhook
    }

    /// Configures webhooks and waits until they are called: a webhook of another kind, configured
    /// with them, denies its own probe.
    async fn configure(&mut self, resource: &'static str, webhooks: &[Value]) {
        static GENERATION: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let generation = GENERATION.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut all = webhooks.to_vec();
        all.push(self.webhook(
            "/deny",
            &json!({
                "name": format!("probe{generation}.example.com"),
                "rules": [{
                    "operations": ["CREATE"], "apiGroups": ["example.com"],
                    "apiVersions": ["v1"], "resources": ["heaps"],
                }],
            }),
        ));
        self.server
            .cluster
            .webhooks(resource, "config", &json!(all));
        let name = format!("probe{generation}");
        let began = Instant::now();
        loop {
            let heap = json!({
                "apiVersion": "example.com/v1", "kind": "Heap",
                "metadata": {"generateName": "probe"},
            });
            let path = "POST /apis/example.com/v1/namespaces/a/heaps";
            let response = self.admin.send(path, &[], heap.to_string()).await;
            if response.code == 403 && response.text.contains(&name) {
                break;
            }
            assert!(began.elapsed() < SOON, "never configured: {response:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        self.hooks.reviews();
    }

    async fn create(&mut self, metadata: Value) -> TestResponse {
        self.send(&format!("POST {THINGS}"), metadata).await
    }

    async fn send(&mut self, line: &str, metadata: Value) -> TestResponse {
        let (kind, version) = if line.contains("/parts") {
            ("Part", if line.contains("/v2/") { "v2" } else { "v1" })
        } else {
            ("Thing", "v1")
        };
        let mut metadata = metadata;
        if metadata.get("name").is_none() {
            metadata["generateName"] = json!("x-");
        }
        let object = json!({
            "apiVersion": format!("example.com/{version}"), "kind": kind,
            "metadata": metadata, "spec": {"size": 1, "replicas": 2},
        });
        self.admin.send(line, &[], object.to_string()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutating_webhooks_run_in_order_and_again_after_a_later_change() {
    let mut case = Case::new("").await;
    let first = case.webhook(
        "/append/a",
        &json!({"name": "a.example.com", "reinvocationPolicy": "IfNeeded"}),
    );
    let second = case.webhook("/append/b", &json!({"name": "b.example.com"}));
    case.configure(MUTATING, &[first, second]).await;
    let response = case.create(json!({"labels": {"kept": "1"}})).await;
    assert_eq!(response.code, 201, "{response:?}");
    let labels = &response.json["metadata"]["labels"];
    assert_eq!(*labels, json!({"kept": "1", "seen": "aba"}));
    let called: Vec<String> = case.hooks.reviews().into_iter().map(|it| it.0).collect();
    assert_eq!(called, ["/append/a", "/append/b", "/append/a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn review_has_request_user_options_and_objects() {
    let mut case = Case::new("").await;
    let webhook = case.webhook(
        "/allow",
        &json!({"rules": [{
            "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"],
        }]}),
    );
    case.configure(VALIDATING, &[webhook]).await;
    let line = format!("POST {THINGS}?fieldManager=me&fieldValidation=Strict");
    let created = case.send(&line, json!({})).await;
    let name = created.json["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let (path, request) = case.hooks.reviews().remove(0);
    assert_eq!(path, "/allow");
    let kind = json!({"group": "example.com", "version": "v1", "kind": "Thing"});
    let resource = json!({"group": "example.com", "version": "v1", "resource": "things"});
    let extra = &request["userInfo"]["extra"];
    assert!(extra["authentication.kubernetes.io/credential-id"].is_array());
    let expected = json!({
        "uid": request["uid"], "kind": kind, "requestKind": kind, "resource": resource,
        "requestResource": resource, "name": name, "namespace": "a", "operation": "CREATE",
        "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"], "extra": extra},
        "object": request["object"], "oldObject": null, "dryRun": false,
        "options": {
            "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1",
            "fieldManager": "me", "fieldValidation": "Strict",
        },
    });
    assert_eq!(request, expected);
    assert_eq!(request["object"]["metadata"]["name"], *name);

    let thing = format!("{THINGS}/{name}");
    let patch = json!({"status": {"replicas": 3}}).to_string();
    let merge = [("Content-Type", "application/merge-patch+json")];
    let line = format!("PATCH {thing}/status");
    let response = case.admin.send(&line, &merge, patch).await;
    assert_eq!(response.code, 200, "{response:?}");
    let request = case.hooks.reviews().remove(0).1;
    assert_eq!(request["subResource"], "status");
    assert_eq!(request["operation"], "UPDATE");
    assert_eq!(request["options"]["kind"], "UpdateOptions");
    assert_eq!(request["object"]["status"]["replicas"], 3);
    assert_eq!(request["oldObject"]["spec"]["replicas"], 2);

    let patch = json!({"spec": {"replicas": 5}}).to_string();
    let line = format!("PATCH {thing}/scale");
    let response = case.admin.send(&line, &merge, patch).await;
    assert_eq!(response.code, 200, "{response:?}");
    let request = case.hooks.reviews().remove(0).1;
    let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
    assert_eq!(request["kind"], scale);
    assert_eq!(request["object"]["spec"]["replicas"], 5);
    assert_eq!(request["oldObject"]["spec"]["replicas"], 2);
    assert_eq!(request["object"]["kind"], "Scale");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_are_reviewed_object_by_object() {
    let mut case = Case::new("").await;
    let deletes = json!({"rules": [{
        "operations": ["DELETE"], "apiGroups": ["*"], "apiVersions": ["*"],
        "resources": ["things"],
    }]});
    case.configure(VALIDATING, &[case.webhook("/allow", &deletes)])
        .await;
    let created = case.create(json!({})).await;
    let name = created.json["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let thing = format!("{THINGS}/{name}");
    let response = case
        .admin
        .request(&format!("DELETE {thing}?dryRun=All"), &[])
        .await;
    assert_eq!(response.code, 200, "{response:?}");
    let request = case.hooks.reviews().remove(0).1;
    assert_eq!(request["operation"], "DELETE");
    assert_eq!(
        (&request["object"], &request["dryRun"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(request["oldObject"]["metadata"]["name"], *name);
    assert_eq!(request["options"]["kind"], "DeleteOptions");

    case.create(json!({})).await;
    let connections = case.hooks.connections();
    let response = case.admin.request(&format!("DELETE {THINGS}"), &[]).await;
    assert_eq!(response.code, 200, "{response:?}");
    let deleted = case.hooks.reviews();
    assert_eq!(deleted.len(), 2, "one review per object");
    // As from kube-apiserver, whose request names no object.
    for (_, request) in &deleted {
        assert_eq!(request["name"], Value::Null);
        assert!(request["oldObject"]["metadata"]["name"].is_string());
    }
    assert_eq!(case.hooks.connections(), connections, "one is used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_and_warnings_reach_the_client() {
    let mut case = Case::new("").await;
    case.configure(VALIDATING, &[case.webhook("/deny", &json!({}))])
        .await;
    let response = case.create(json!({})).await;
    assert_eq!(
        (response.code, &response.json["reason"]),
        (403, &json!("Forbidden"))
    );
    let text = "admission webhook \"w.example.com\" denied the request: no";
    assert_eq!(response.json["message"], text);
    case.metric("apiserver_admission_webhook_rejection_count{name=\"w.example.com\",type=\"validating\",operation=\"CREATE\",error_type=\"no_error\",rejection_code=\"403\"} 1")
        .await;
    case.configure(VALIDATING, &[case.webhook("/deny-odd", &json!({}))])
        .await;
    let response = case.create(json!({})).await;
    assert_eq!(
        (response.code, &response.json["reason"]),
        (418, &json!("TooSmall"))
    );
    case.configure(VALIDATING, &[case.webhook("/warn", &json!({}))])
        .await;
    let response = case.create(json!({})).await;
    assert_eq!(response.code, 201, "{response:?}");
    assert_eq!(
        response.warnings,
        ["299 - \"careful\"", "299 - \"very careful\""]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_reach_only_webhooks_without_side_effects() {
    let mut case = Case::new("").await;
    let some = json!({"sideEffects": "Some", "failurePolicy": "Ignore"});
    case.configure(VALIDATING, &[case.webhook("/allow", &some)])
        .await;
    let dry = format!("POST {THINGS}?dryRun=All");
    let response = case.send(&dry, json!({})).await;
    assert_eq!(
        (response.code, &response.json["reason"]),
        (400, &json!("BadRequest"))
    );
    let text = "admission webhook \"w.example.com\" does not support dry run";
    assert_eq!(response.json["message"], text);
    assert!(case.hooks.reviews().is_empty());
    assert_eq!(case.create(json!({})).await.code, 201);
    let none = json!({"sideEffects": "NoneOnDryRun"});
    case.configure(VALIDATING, &[case.webhook("/allow", &none)])
        .await;
    assert_eq!(case.send(&dry, json!({})).await.code, 201);
    let request = case.hooks.reviews().remove(0).1;
    assert_eq!(
        (&request["dryRun"], &request["options"]["dryRun"]),
        (&json!(true), &json!(["All"]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose_objects_and_namespaces() {
    let mut case = Case::new("").await;
    let selectors = json!({
        "objectSelector": {"matchExpressions": [
            {"key": "skip", "operator": "DoesNotExist"},
        ]},
        "namespaceSelector": {"matchLabels": {"checked": "yes"}},
    });
    case.configure(VALIDATING, &[case.webhook("/deny", &selectors)])
        .await;
    assert_eq!(case.create(json!({})).await.code, 201, "no label");
    case.server
        .cluster
        .label_namespace("a", &json!({"checked": "yes"}));
    let began = Instant::now();
    while case.create(json!({})).await.code != 403 {
        assert!(began.elapsed() < SOON, "the labels are never seen");
    }
    assert_eq!(case.create(json!({"labels": {"skip": ""}})).await.code, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn equivalent_versions_are_converted_and_exact_ones_do_not_match() {
    let mut case = Case::new("").await;
    let rules = json!([{
        "operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v2"],
        "resources": ["parts"],
    }]);
    let equivalent = json!({"rules": rules});
    case.configure(MUTATING, &[case.webhook("/append/p", &equivalent)])
        .await;
    let response = case.send(&format!("POST {PARTS}"), json!({})).await;
    assert_eq!(response.code, 201, "{response:?}");
    assert_eq!(response.json["apiVersion"], "example.com/v1");
    assert_eq!(response.json["metadata"]["labels"]["seen"], "p");
    let request = case.hooks.reviews().remove(0).1;
    assert_eq!(request["object"]["apiVersion"], "example.com/v2");
    assert_eq!(request["kind"]["version"], "v2");
    assert_eq!(request["requestKind"]["version"], "v1");
    assert_eq!(request["requestResource"]["version"], "v1");
    let exact = json!({"rules": rules, "matchPolicy": "Exact"});
    case.configure(MUTATING, &[case.webhook("/append/p", &exact)])
        .await;
    let response = case.send(&format!("POST {PARTS}"), json!({})).await;
    assert_eq!(response.json["metadata"]["labels"], Value::Null);
    assert!(case.hooks.reviews().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_scale_changes_replicas() {
    let mut case = Case::new("").await;
    let name = case.create(json!({})).await.json["metadata"]["name"].clone();
    let scale = json!({"rules": [{
        "operations": ["UPDATE"], "apiGroups": ["*"], "apiVersions": ["*"],
        "resources": ["*/scale"],
    }]});
    case.configure(MUTATING, &[case.webhook("/pin", &scale)])
        .await;
    let line = format!("PATCH {THINGS}/{}/scale", name.as_str().unwrap());
    let merge = [("Content-Type", "application/merge-patch+json")];
    let patch = json!({"spec": {"replicas": 5}}).to_string();
    let response = case.admin.send(&line, &merge, patch).await;
    assert_eq!(response.code, 200, "{response:?}");
    assert_eq!(response.json["spec"]["replicas"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn validating_webhooks_are_called_together() {
    let mut case = Case::new("").await;
    let one = case.webhook("/together", &json!({"name": "one.example.com"}));
    let two = case.webhook("/together", &json!({"name": "two.example.com"}));
    case.configure(VALIDATING, &[one, two]).await;
    // Each is answered once the other has arrived.
    let response = case.create(json!({})).await;
    assert_eq!(response.code, 201, "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_resolved_by_cluster_ip_and_verified_by_name() {
    let mut case = Case::new("").await;
    let port = case.hooks.address.port();
    case.server.cluster.service("hook", "127.0.0.1", port);
    let service = |name: &str| {
        json!({"clientConfig": {
            "service": {"namespace": "hooks", "name": name, "port": port, "path": "/warn"},
            "caBundle": case.hooks.ca_bundle,
        }})
    };
    let (found, missing) = (service("hook"), service("missing"));
    case.configure(VALIDATING, &[case.webhook("", &found)])
        .await;
    let response = case.create(json!({})).await;
    assert_eq!(response.code, 201, "{response:?}");
    assert_eq!(response.warnings.len(), 2);
    case.configure(VALIDATING, &[case.webhook("", &missing)])
        .await;
    let response = case.create(json!({})).await;
    let text = "svc:";
    assert!(response.text.contains(text), "{response:?}");
    let text = "service \\\"missing\\\" not found";
    assert!(response.text.contains(text), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_those_of_the_configured_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path.display().to_string()
    };
    let users = json!([{"name": "*", "user": {"token": "for-webhooks"}}]);
    let kubeconfig = write("kubeconfig", json!({"kind": "Config", "users": users}));
    let file = write(
        "admission",
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
            "plugins": [{"name": "ValidatingAdmissionWebhook", "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": kubeconfig,
            }}],
        }),
    );
    let mut case = Case::new(&format!("--admission-control-config-file {file}")).await;
    case.configure(VALIDATING, &[case.webhook("/allow", &json!({}))])
        .await;
    assert_eq!(case.create(json!({})).await.code, 201);
    assert_eq!(
        case.hooks.credentials().last().unwrap(),
        "Bearer for-webhooks"
    );
}
