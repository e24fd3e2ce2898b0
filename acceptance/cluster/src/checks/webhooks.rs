//! Admission webhooks: the same configurations for our kinds and for CRDs, and the same responses.

mod odd;

use std::time::Duration;

use anyhow::{Result, ensure};
use regex::Regex;
use serde_json::{Value, json};

use crate::call::{Call, Response};
use crate::crds::{GROUPS, OURS, PEER, widget, widgets, without_group};
use crate::poll::until;
use crate::webhook_server::WebhookServer;
use crate::world::World;

const NAMESPACE: &str = "hooks";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";
/// Label that selects the webhooks of a case.
const CASE: &str = "case";
/// Time until both servers have seen the configurations.
const PROPAGATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A webhook that is called for objects with its name as label.
struct Hook {
    name: &'static str,
    mutating: bool,
    path: String,
    /// Replaces fields of the webhook.
    more: Value,
}

/// Compares creates with one webhook each, and requests of all kinds whose reviews a webhook returns.
pub(super) async fn as_crds(world: &mut World) -> Result<String> {
    let world = &*world;
    let server = WebhookServer::start().await?;
    world.namespace(NAMESPACE).await?;
    for group in GROUPS {
        for name in ["scaled", "shown"] {
            let mut object = widget(group, name);
            object["metadata"]["labels"] = json!({CASE: "kept"});
            Call::new("POST", &widgets(group, NAMESPACE))
                .body(&object)
                .json(&world.admin)
                .await?;
        }
    }
    let hooks = hooks();
    configure(world, &server, &hooks).await?;
    let mut compared = 0;
    let mut differences = Vec::new();
    for hook in &hooks {
        let mut found = Vec::new();
        for query in ["", "?dryRun=All"] {
            let request = async |group| create(world, group, hook.name, query).await;
            found.extend(difference(hook.name, request).await?);
            compared += 1;
        }
        if !odd::DIFFERENT.contains(&hook.name) {
            differences.extend(found);
        } else if found.is_empty() {
            let name = hook.name;
            differences.push(format!("{name} does not differ: remove it from DIFFERENT"));
        }
    }
    for (title, request) in reviewed() {
        let request = async |group| request.send(world, group).await;
        differences.extend(difference(title, request).await?);
        compared += 1;
    }
    for kind in ["validating", "mutating"] {
        let path = format!("{CONFIGURATIONS}/{kind}webhookconfigurations/ark-cluster");
        Call::new("DELETE", &path).json(&world.admin).await?;
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    let different = odd::DIFFERENT.len();
    Ok(format!(
        "{compared} requests, {different} known differences"
    ))
}

fn hooks() -> Vec<Hook> {
    let mut hooks = decisions();
    hooks.extend(failures());
    hooks.extend(selections());
    hooks.extend(odd::hooks());
    hooks
}

fn hook(name: &'static str, mutating: bool, path: &str, more: Value) -> Hook {
    Hook {
        name,
        mutating,
        path: path.to_owned(),
        more,
    }
}

/// Webhooks that respond as they should, and patches.
fn decisions() -> Vec<Hook> {
    let ignore = json!({"failurePolicy": "Ignore"});
    vec![
        hook("allow", false, "/allow", json!({})),
        hook("echo", false, "/echo", json!({})),
        hook("echo-mutating", true, "/echo", json!({})),
        hook(
            "echo-beta",
            false,
            "/echo",
            json!({"admissionReviewVersions": ["v1beta1"]}),
        ),
        hook("deny", false, "/deny", json!({})),
        hook("deny-reason", false, "/deny-reason", json!({})),
        hook("deny-plain", true, "/deny-plain", json!({})),
        hook("warn", false, "/warn", json!({})),
        hook("resize", true, "/resize", json!({})),
        hook("misfit", true, "/misfit", json!({})),
        hook("move", true, "/move", json!({})),
        hook("bad-patch", true, "/bad-patch", json!({})),
        hook("bad-patch-ignored", true, "/bad-patch", ignore),
        hook("untyped-patch", true, "/untyped-patch", json!({})),
        hook("patch-of-validating", false, "/resize", json!({})),
    ]
}

/// Webhooks that cannot be called, and wrong responses.
fn failures() -> Vec<Hook> {
    let dead = json!({"url": "https://127.0.0.1:1/x"});
    let ignore = json!({"failurePolicy": "Ignore"});
    vec![
        hook("uid", false, "/uid", json!({})),
        hook("uid-ignored", false, "/uid", ignore),
        hook("garbage", false, "/garbage", json!({})),
        hook("fail", false, "/fail", json!({})),
        hook("missing", false, "/missing", json!({})),
        hook("padded", false, "/padded", json!({})),
        hook("slow", false, "/slow", json!({"timeoutSeconds": 1})),
        hook(
            "slow-ignored",
            false,
            "/slow",
            json!({"timeoutSeconds": 1, "failurePolicy": "Ignore"}),
        ),
        hook("dead", false, "", json!({"clientConfig": dead})),
        hook(
            "dead-ignored",
            false,
            "",
            json!({"clientConfig": dead, "failurePolicy": "Ignore"}),
        ),
    ]
}

/// Webhooks that are called for some requests only.
fn selections() -> Vec<Hook> {
    vec![
        hook(
            "side-effects",
            false,
            "/warn",
            json!({"sideEffects": "NoneOnDryRun"}),
        ),
        hook(
            "elsewhere",
            false,
            "/deny",
            json!({"namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": "default"},
            }}),
        ),
        hook(
            "here",
            false,
            "/deny",
            json!({"namespaceSelector": {
                "matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [NAMESPACE]},
                ],
            }}),
        ),
        hook(
            "cluster-scope",
            false,
            "/deny",
            json!({"rules": rules("CREATE", "widgets", "Cluster")}),
        ),
    ]
}

fn rules(operation: &str, resources: &str, scope: &str) -> Value {
    json!([{
        "operations": [operation], "apiGroups": GROUPS, "apiVersions": ["v1"],
        "resources": [resources], "scope": scope,
    }])
}

/// Creates both configurations, and waits until both servers call their webhooks.
async fn configure(world: &World, server: &WebhookServer, hooks: &[Hook]) -> Result<()> {
    for (kind, mutating, ready) in [
        ("Validating", false, "ready-validating"),
        ("Mutating", true, "ready-mutating"),
    ] {
        let mut webhooks = Vec::new();
        for hook in hooks.iter().filter(|hook| hook.mutating == mutating) {
            webhooks.push(webhook(server, hook));
        }
        webhooks.push(webhook(
            server,
            &Hook {
                name: ready,
                mutating,
                path: "/deny".to_owned(),
                more: json!({}),
            },
        ));
        if !mutating {
            webhooks.extend(reviewing(server));
        }
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": format!("{kind}WebhookConfiguration"),
            "metadata": {"name": "ark-cluster"}, "webhooks": webhooks,
        });
        let path = format!(
            "{CONFIGURATIONS}/{}webhookconfigurations",
            kind.to_lowercase()
        );
        Call::new("POST", &path)
            .body(&object)
            .json(&world.admin)
            .await?;
        for group in GROUPS {
            until(PROPAGATION_TIMEOUT, async || {
                let response = labelled(world, group, ready, "?dryRun=All").await?;
                Ok(if response.status == 403 {
                    Ok(())
                } else {
                    Err(format!("{kind}: {group} does not call the webhook"))
                })
            })
            .await?;
        }
    }
    Ok(())
}

fn webhook(server: &WebhookServer, hook: &Hook) -> Value {
    let mut webhook = json!({
        "name": format!("{}.example.com", hook.name),
        "clientConfig": server.at(&hook.path),
        "rules": rules("CREATE", "widgets", "*"),
        "objectSelector": {"matchLabels": {CASE: hook.name}},
        "admissionReviewVersions": ["v1", "v1beta1"],
        "sideEffects": "None", "timeoutSeconds": 10,
    });
    if let (Some(webhook), Some(more)) = (webhook.as_object_mut(), hook.more.as_object()) {
        webhook.extend(more.clone());
        let client = &mut webhook["clientConfig"];
        if let Some(url) = client["url"].as_str() {
            client["url"] = json!(url.replace("PORT", &server.port().to_string()));
        }
        if client.get("caBundle").is_none() {
            client["caBundle"] = json!(server.ca_bundle);
        }
    }
    webhook
}

/// Webhooks that return the reviews of other requests than creates.
fn reviewing(server: &WebhookServer) -> Vec<Value> {
    let hook = |name: &str, rules: Value, selector: Value| {
        json!({
            "name": name, "clientConfig": server.at("/echo"), "rules": rules,
            "objectSelector": selector, "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
            "sideEffects": "None",
        })
    };
    let versions = json!([{
        "operations": ["CREATE"], "apiGroups": GROUPS, "apiVersions": ["v2"],
        "resources": ["duals"],
    }]);
    vec![
        hook(
            "kept.example.com",
            json!([
                {
                    "operations": ["UPDATE", "DELETE"], "apiGroups": GROUPS,
                    "apiVersions": ["*"], "resources": ["widgets", "widgets/status"],
                },
            ]),
            json!({"matchLabels": {CASE: "kept"}}),
        ),
        hook(
            "scale.example.com",
            rules("*", "*/scale", "Namespaced"),
            json!({}),
        ),
        hook("versions.example.com", versions, json!({})),
    ]
}

/// A request that a webhook denies with its review.
struct Reviewed {
    method: &'static str,
    path: &'static str,
    apply: bool,
    body: fn(&str) -> Value,
}

fn reviewed() -> Vec<(&'static str, Reviewed)> {
    let mut all = changes();
    all.extend(deletions());
    all
}

fn write(method: &'static str, path: &'static str, body: fn(&str) -> Value) -> Reviewed {
    Reviewed {
        method,
        path,
        apply: false,
        body,
    }
}

fn changes() -> Vec<(&'static str, Reviewed)> {
    vec![
        (
            "patch",
            write("PATCH", "widgets/shown", |_| json!({"spec": {"size": 3}})),
        ),
        (
            "patch with options",
            write(
                "PATCH",
                "widgets/shown?dryRun=All&fieldManager=me&fieldValidation=Strict",
                |_| json!({"spec": {"size": 3}}),
            ),
        ),
        (
            "apply",
            Reviewed {
                apply: true,
                ..write(
                    "PATCH",
                    "widgets/shown?fieldManager=me&force=true",
                    |group| {
                        json!({
                            "apiVersion": format!("{group}/v1"), "kind": "Widget",
                            "metadata": {"name": "shown", "labels": {CASE: "kept"}},
                            "spec": {"size": 4},
                        })
                    },
                )
            },
        ),
        (
            "status",
            write(
                "PATCH",
                "widgets/shown/status",
                |_| json!({"status": {"phase": "Ready"}}),
            ),
        ),
        (
            "scale",
            write(
                "PATCH",
                "widgets/scaled/scale",
                |_| json!({"spec": {"replicas": 3}}),
            ),
        ),
    ]
}

fn deletions() -> Vec<(&'static str, Reviewed)> {
    let nothing: fn(&str) -> Value = |_| Value::Null;
    vec![
        ("delete", write("DELETE", "widgets/shown", nothing)),
        (
            "delete with options",
            write("DELETE", "widgets/shown", |_| {
                json!({
                    "apiVersion": "v1", "kind": "DeleteOptions",
                    "propagationPolicy": "Foreground", "dryRun": ["All"],
                })
            }),
        ),
        (
            "deletecollection",
            write(
                "DELETE",
                "widgets?labelSelector=case%3Dkept&fieldSelector=metadata.name%3Dshown",
                nothing,
            ),
        ),
        (
            "equivalent version",
            write("POST", "duals", |group| {
                json!({
                    "apiVersion": format!("{group}/v1"), "kind": "Dual",
                    "metadata": {"name": "d"}, "spec": {"a": "x"},
                })
            }),
        ),
    ]
}

impl Reviewed {
    async fn send(&self, world: &World, group: &str) -> Result<Response> {
        let path = format!("/apis/{group}/v1/namespaces/{NAMESPACE}/{}", self.path);
        let call = if self.apply {
            Call::apply(&path)
        } else {
            Call::new(self.method, &path)
        };
        let body = (self.body)(group);
        let call = if body.is_null() {
            call
        } else {
            call.body(&body)
        };
        let response = call.send(&world.admin).await?;
        ensure!(
            response.status == 403,
            "{} {path} was not reviewed: {} {}",
            self.method,
            response.status,
            response.message()
        );
        Ok(response)
    }
}

/// Creates an object that a webhook selects, and deletes it again.
async fn create(world: &World, group: &str, case: &str, query: &str) -> Result<Response> {
    let response = labelled(world, group, case, query).await?;
    if response.status == 201 && query.is_empty() {
        // A webhook may have changed the name.
        let object = response.value();
        let name = object["metadata"]["name"].as_str().unwrap_or(case);
        let path = format!("{}/{name}", widgets(group, NAMESPACE));
        Call::new("DELETE", &path).json(&world.admin).await?;
    }
    Ok(response)
}

async fn labelled(world: &World, group: &str, case: &str, query: &str) -> Result<Response> {
    let mut object = widget(group, case);
    object["metadata"]["labels"] = json!({CASE: case});
    let path = format!("{}{query}", widgets(group, NAMESPACE));
    Call::new("POST", &path)
        .body(&object)
        .send(&world.admin)
        .await
}

/// The responses for both groups, if they differ.
async fn difference(
    title: &str,
    request: impl AsyncFn(&'static str) -> Result<Response>,
) -> Result<Option<String>> {
    let (ours, peer) = (shown(&request(OURS).await?)?, shown(&request(PEER).await?)?);
    Ok((ours != peer).then(|| format!("{title}: {ours}\ninstead of {peer}")))
}

/// A response without what differs between any two.
fn shown(response: &Response) -> Result<String> {
    let mut body = response.value();
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["uid", "creationTimestamp", "resourceVersion"] {
            metadata.remove(key);
        }
        let managers = metadata.get_mut("managedFields");
        for entry in managers.and_then(Value::as_array_mut).into_iter().flatten() {
            entry["time"] = Value::Null;
        }
    }
    if let Some(details) = body.get_mut("details").and_then(Value::as_object_mut) {
        details.remove("uid");
    }
    let warnings = response.headers.get_all(http::header::WARNING);
    let warnings: Vec<_> = warnings.iter().map(|it| format!("{it:?}")).collect();
    let text = format!("{} {warnings:?} {body}", response.status);
    let uuid = Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")?;
    Ok(uuid.replace_all(&without_group(&text), "UUID").into_owned())
}
