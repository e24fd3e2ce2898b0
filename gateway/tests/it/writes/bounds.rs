//! Small requests with expensive results: responses and stored objects stay small.

use serde_json::{Value, json};

use super::server::TestServer;

/// Bytes of the largest error response.
const LARGEST: usize = (1 << 20) + (16 << 10);

fn heap(metadata: &Value, content: &Value) -> String {
    let mut object = json!({"apiVersion": "example.com/v1", "kind": "Heap", "metadata": metadata});
    let fields = content.as_object().cloned().unwrap_or_default();
    object.as_object_mut().expect("a map").extend(fields);
    object["metadata"]["name"] = "h".into();
    object.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn request_errors_are_bounded() {
    let test_server = TestServer::new().await;
    let names: Vec<String> = (0..20_000).map(|n| format!("not a name {n}")).collect();
    let labels: serde_json::Map<_, _> = names.iter().map(|n| (n.clone(), json!("x"))).collect();
    let owner = |n: usize| json!({"apiVersion": "v1", "kind": "Pod", "name": format!("p{n}"), "uid": "u", "controller": true});
    let owners: Vec<Value> = (0..3_000).map(owner).collect();
    let none = json!({});
    for (metadata, content) in [
        (json!({"labels": labels}), none.clone()),
        (json!({"finalizers": names}), none.clone()),
        (json!({"ownerReferences": owners}), none.clone()),
        (none.clone(), json!({"strict": vec![json!({}); 20_000]})),
        (none.clone(), json!({"choices": vec!["white"; 50_000]})),
    ] {
        let response = test_server
            .request("POST heaps", heap(&metadata, &content))
            .await;
        let status = response.expect(422);
        assert!(response.body.len() < LARGEST, "{}", response.body.len());
        let message = status["message"].as_str().expect("a message");
        assert!(message.contains("some errors are not shown"));
    }
    let one = json!({"choices": ["x".repeat(2 << 20)]});
    let response = test_server.request("POST heaps", heap(&none, &one)).await;
    let status = response.expect(422);
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("bytes more)"));
    assert!(response.body.len() < LARGEST, "{}", response.body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_bounded_by_body_limit() {
    let test_server = TestServer::new().await;
    let many = json!({"padded": vec![json!({}); 60_000]});
    let status = test_server
        .request("POST heaps", heap(&json!({}), &many))
        .await;
    let status = status.expect(413);
    assert_eq!(status["reason"], "RequestEntityTooLarge");
    assert_eq!(
        status["message"],
        "Request entity too large: defaults add more than 3145728 bytes"
    );
    let few = json!({"padded": vec![json!({}); 1_000]});
    let created = test_server
        .request("POST heaps", heap(&json!({}), &few))
        .await;
    created.expect(201);
    let patched = test_server.request("MERGE heaps/h", many.to_string()).await;
    patched.expect(413);
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_and_unknown_fields_are_bounded() {
    let test_server = TestServer::new().await;
    let unknown: serde_json::Map<_, _> = (0..50_000).map(|n| (format!("f{n}"), json!(1))).collect();
    let body = heap(&json!({}), &Value::from(unknown));
    let response = test_server
        .request("POST heaps?fieldValidation=Strict", body.clone())
        .await;
    response.expect(400);
    assert!(response.body.len() < LARGEST, "{}", response.body.len());
    let response = test_server.request("POST heaps?dryRun=All", body).await;
    response.expect(201);
    let warnings = response.headers.get_all("warning").iter();
    let bytes: usize = warnings.map(|warning| warning.len()).sum();
    assert!((1_000..16_000).contains(&bytes), "{bytes}");
}
