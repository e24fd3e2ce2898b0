//! Webhooks that cannot be called, wrong responses, missing rights and invalid flags.

use serde_json::json;
use tokio::time::Instant;

use super::{Case, MUTATING, VALIDATING};
use crate::cluster::server::{THINGS, TestServer, until};
use crate::cluster::webhook_server::WebhookServer;

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_texts_of_kube_apiserver_or_are_ignored() {
    let mut case = Case::new("").await;
    let address = case.hooks.address;
    let slow = format!("Post \"https://{address}/slow?timeout=1s\": context deadline exceeded");
    for (path, text) in [
        ("/slow", &*slow),
        (
            "/garbage",
            "couldn't get version/kind; json parse error: json: cannot unmarshal string into Go \
             value of type struct { APIVersion string",
        ),
        (
            "/fail",
            "an error on the server (\"bang\") has prevented the request from succeeding",
        ),
        (
            "/redirect",
            "the server responded with the status code 307 but did not return more information",
        ),
        ("/endless", "unexpected error when reading response body"),
    ] {
        let text = format!(
            "Internal error occurred: failed calling webhook \"w.example.com\": failed to call \
             webhook: {text}"
        );
        expect_failure(&mut case, path, &text).await;
    }
    let invalid = "Internal error occurred: failed calling webhook \"w.example.com\": received \
                   invalid webhook response: ";
    expect_failure(
        &mut case,
        "/uid",
        &format!("{invalid}expected response.uid="),
    )
    .await;
    let patched = "validating webhook may not return response.patch";
    expect_failure(&mut case, "/untyped-patch", &format!("{invalid}{patched}")).await;
    case.metric(
        "apiserver_admission_webhook_fail_open_count{name=\"w.example.com\",type=\"validating\"} 7",
    )
    .await;

    // 3 MiB, and a redirect within the host.
    for path in ["/padded", "/redirect/here"] {
        case.configure(VALIDATING, &[case.webhook(path, &json!({}))])
            .await;
        let response = case.create(json!({})).await;
        assert_eq!(response.code, 201, "{path}: {response:?}");
    }
}

/// Calls a webhook that fails, with both policies.
async fn expect_failure(case: &mut Case, path: &str, text: &str) {
    for (policy, code) in [("Fail", 500), ("Ignore", 201)] {
        let seconds = if path == "/slow" { 1 } else { 10 };
        let more = json!({"failurePolicy": policy, "timeoutSeconds": seconds});
        case.configure(VALIDATING, &[case.webhook(path, &more)])
            .await;
        let response = case.create(json!({})).await;
        assert_eq!(response.code, code, "{path} {policy}: {response:?}");
        if code == 500 {
            let message = response.json["message"].as_str().unwrap();
            assert!(message.starts_with(text), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_and_unknown_servers_are_failures() {
    let mut case = Case::new("").await;
    let dead = json!({"clientConfig": {
        "url": "https://127.0.0.1:1/x", "caBundle": case.hooks.ca_bundle,
    }});
    case.configure(VALIDATING, &[case.webhook("/allow", &dead)])
        .await;
    let response = case.create(json!({})).await;
    let text = "Internal error occurred: failed calling webhook \"w.example.com\": failed to call \
                webhook: Post \"https://127.0.0.1:1/x?timeout=10s\": dial tcp 127.0.0.1:1: \
                connect: connection refused";
    assert_eq!(response.json["message"], text);

    let other = WebhookServer::start().await;
    let unknown = json!({"clientConfig": {
        "url": format!("https://{}/allow", case.hooks.address), "caBundle": other.ca_bundle,
    }});
    case.configure(VALIDATING, &[case.webhook("/allow", &unknown)])
        .await;
    let response = case.create(json!({})).await;
    let text = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert!(response.text.contains(text), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_that_do_not_apply_are_internal_errors() {
    let mut case = Case::new("").await;
    let ignore = json!({"failurePolicy": "Ignore"});
    case.configure(MUTATING, &[case.webhook("/bad-patch", &ignore)])
        .await;
    let response = case.create(json!({})).await;
    assert_eq!(response.code, 500, "{response:?}");
    let text = "Internal error occurred: error in remove for path: '/spec/missing': Unable to \
                remove nonexistent key: missing: missing value";
    assert_eq!(response.json["message"], text);
    case.configure(MUTATING, &[case.webhook("/untyped-patch", &json!({}))])
        .await;
    let response = case.create(json!({})).await;
    let text = "webhook returned response.patch but not response.patchType";
    assert!(response.text.contains(text), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_managers_of_a_webhook_are_undone_with_a_warning() {
    let mut case = Case::new("").await;
    case.configure(MUTATING, &[case.webhook("/managers", &json!({}))])
        .await;
    let response = case.create(json!({})).await;
    assert_eq!(response.code, 201, "{response:?}");
    let managers = &response.json["metadata"]["managedFields"];
    assert_eq!(managers[0]["operation"], "Update", "{response:?}");
    let warning = &response.warnings[0];
    assert!(warning.contains("was in an invalid state after admission"));
    assert!(warning.contains("operation must be `Apply` or `Update`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_right_rejects_writes_at_once_and_reads_go_on() {
    let server = TestServer::new("").await;
    server
        .cluster
        .change(|state| state.unreadable.insert(VALIDATING));
    let (users, proxies) = (server.users.clone(), server.proxies.clone());
    let cluster = server.cluster;
    let mut server = TestServer::over(cluster, (users, proxies), "")
        .await
        .unwrap();
    let mut admin = server.user("admin", Some("system:masters")).await;
    let thing = json!({
        "apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"generateName": "x-"},
    });
    let create = format!("POST {THINGS}");
    let text = "admission webhooks are required, but this server may not read their \
                configurations: missing rights: list \
                validatingwebhookconfigurations.admissionregistration.k8s.io, watch \
                validatingwebhookconfigurations.admissionregistration.k8s.io";
    let response = admin.send(&create, &[], thing.to_string()).await;
    assert_eq!(response.code, 503, "{response:?}");
    assert_eq!(response.json["message"], text);
    assert_eq!(admin.request(&format!("GET {THINGS}"), &[]).await.code, 200);
    let metrics = admin.request("GET /metrics", &[]).await.text;
    for mechanism in ["webhooks", "cel"] {
        let line =
            format!("ark_apiserver_admission_enforcement_active{{mechanism=\"{mechanism}\"}} 0");
        assert!(metrics.contains(&line), "{line}");
    }
    server.cluster.change(|state| state.unreadable.clear());
    until("the right is noticed", async || {
        let mut admin = server.user("admin", Some("system:masters")).await;
        admin.send(&create, &[], thing.to_string()).await.code == 201
    })
    .await;
    server.gateway.stop.cancel();
    server.gateway.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn best_effort_lets_writes_pass_without_the_right() {
    let server = TestServer::new("").await;
    server
        .cluster
        .change(|state| state.unreadable.insert(MUTATING));
    let (users, proxies) = (server.users.clone(), server.proxies.clone());
    let flags = "--webhook-admission best-effort";
    let server = TestServer::over(server.cluster, (users, proxies), flags).await;
    let server = server.unwrap();
    let mut admin = server.user("admin", Some("system:masters")).await;
    let thing = json!({
        "apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"generateName": "x-"},
    });
    let began = Instant::now();
    let response = admin
        .send(&format!("POST {THINGS}"), &[], thing.to_string())
        .await;
    assert_eq!(response.code, 201, "{response:?}");
    assert!(began.elapsed().as_secs() < 5, "the write does not wait");
}

#[test]
fn unknown_and_overlapping_plugins_are_rejected() {
    let flags = |more: &str| {
        let flags = format!(
            "--backend unix:///x --tls-cert-file x --tls-private-key-file x --kubeconfig x {more}"
        );
        crate::flags::config(&flags).unwrap_err().to_string()
    };
    assert_eq!(
        flags("--enable-admission-plugins PodSecurity"),
        "enable-admission-plugins plugin \"PodSecurity\" is unknown: the plugins are \
         NamespaceLifecycle, MutatingAdmissionWebhook, ValidatingAdmissionWebhook"
    );
    assert_eq!(
        flags(
            "--enable-admission-plugins NamespaceLifecycle --disable-admission-plugins \
             NamespaceLifecycle"
        ),
        "[NamespaceLifecycle] in enable-admission-plugins and disable-admission-plugins overlapped"
    );
}
