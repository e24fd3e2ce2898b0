//! Creates in namespaces that do not exist, are being deleted, or have just been created.

use serde_json::json;

use super::server::{Client, TestResponse, TestServer, until};

async fn admin(server: &TestServer) -> Client {
    server.user("admin", Some("system:masters")).await
}

async fn create(
    client: &mut Client,
    namespace: &str,
    metadata: &serde_json::Value,
) -> TestResponse {
    let thing = json!({
        "apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, "spec": {"size": 1},
    });
    let line = format!("POST /apis/example.com/v1/namespaces/{namespace}/things");
    client.send(&line, &[], thing.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_namespace_is_not_found() {
    let server = TestServer::new("").await;
    let mut admin = admin(&server).await;
    let response = create(&mut admin, "a", &json!({"name": "x"})).await;
    assert_eq!(response.code, 201, "{response:?}");
    assert_eq!(
        server.cluster.state.lock().namespace_reads,
        0,
        "the informer has it"
    );
    let response = create(&mut admin, "missing", &json!({"name": "x"})).await;
    assert_eq!(response.code, 404);
    assert_eq!(
        response.json,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "namespaces \"missing\" not found", "reason": "NotFound",
            "details": {"name": "missing", "kind": "namespaces"}, "code": 404,
        })
    );
    assert_eq!(server.cluster.state.lock().namespace_reads, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_that_informer_has_not_seen_is_looked_up() {
    let server = TestServer::new("").await;
    let mut admin = admin(&server).await;
    server
        .cluster
        .change(|state| state.live.insert("new".to_owned(), "Active"));
    let response = create(&mut admin, "new", &json!({"name": "x"})).await;
    assert_eq!(response.code, 201, "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn terminating_namespace_rejects_creates_only() {
    let server = TestServer::new("").await;
    let mut admin = admin(&server).await;
    assert_eq!(
        create(&mut admin, "a", &json!({"name": "x"})).await.code,
        201
    );
    server.cluster.namespace("a", "Terminating");
    let client = tokio::sync::Mutex::new(&mut admin);
    until("creates are rejected", || async {
        let mut client = client.lock().await;
        create(&mut client, "a", &json!({"generateName": "probe-"}))
            .await
            .code
            == 403
    })
    .await;
    let response = create(&mut admin, "a", &json!({"name": "y"})).await;
    assert_eq!(
        response.json["message"],
        "things.example.com \"y\" is forbidden: unable to create new content in namespace a \
         because it is being terminated"
    );
    assert_eq!(
        response.json["details"],
        json!({
            "name": "y", "group": "example.com", "kind": "things",
            "causes": [{
                "reason": "NamespaceTerminating",
                "message": "namespace a is being terminated",
                "field": "metadata.namespace",
            }],
        })
    );
    let response = create(&mut admin, "a", &json!({"generateName": "z-"})).await;
    let message = response.json["message"].as_str().unwrap();
    assert!(
        message.starts_with("things.example.com \"z-\" is forbidden: "),
        "{message}"
    );

    let thing = "/apis/example.com/v1/namespaces/a/things/x";
    let patch = [("Content-Type", "application/merge-patch+json")];
    let body = json!({"spec": {"size": 2}}).to_string();
    let line = format!("PATCH {thing}");
    let updated = admin.send(&line, &patch, body).await;
    assert_ne!(updated.code, 403, "{updated:?}");
    assert_eq!(
        admin.request(&format!("DELETE {thing}"), &[]).await.code,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_that_was_terminating_is_looked_up_live() {
    let server = TestServer::new("").await;
    let mut admin = admin(&server).await;
    server.cluster.namespace("b", "Terminating");
    server.cluster.namespace("b", "Active");
    // The copy of the informer is stale: the namespace is being deleted again.
    server
        .cluster
        .change(|state| state.live.insert("b".to_owned(), "Terminating"));
    let response = create(&mut admin, "b", &json!({"name": "x"})).await;
    assert_eq!(response.code, 403, "{response:?}");
    server.cluster.change(|state| state.live.clear());
    let client = tokio::sync::Mutex::new(&mut admin);
    until("the namespace accepts objects", || async {
        let mut client = client.lock().await;
        create(&mut client, "b", &json!({"name": "x"})).await.code == 201
    })
    .await;
    assert!(server.cluster.state.lock().namespace_reads >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn uncertain_namespace_fails_while_kube_apiserver_is_away() {
    let mut server = TestServer::new("").await;
    let mut admin = admin(&server).await;
    assert_eq!(
        create(&mut admin, "a", &json!({"name": "x"})).await.code,
        201
    );
    server.cluster.stop().await;
    assert_eq!(
        create(&mut admin, "a", &json!({"name": "y"})).await.code,
        201
    );
    let response = create(&mut admin, "unknown", &json!({"name": "x"})).await;
    assert_eq!(response.code, 500);
    let message = response.json["message"].as_str().unwrap();
    assert!(
        message.starts_with("Internal error occurred: cannot reach"),
        "{message}"
    );
}
