//! Writes and reads while the cache is stale.

use serde_json::{Value, json};

use super::server::{TestResponse, TestServer, thing, version, with};

/// A stored thing that another server wrote.
fn elsewhere(name: &str, uid: &str, size: u64) -> (String, Vec<u8>) {
    let meta = json!({
        "name": name, "namespace": "a", "uid": uid, "generation": 1,
        "creationTimestamp": "2020-01-01T00:00:00Z",
    });
    let spec = json!({"size": size, "replicas": 1});
    let object =
        json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": meta, "spec": spec});
    (format!("a/{name}"), kube_json::to_vec(&object))
}

impl TestServer {
    /// Stops the delivery of changes to the server.
    fn hold(&self) {
        let newest = self.fake.revision();
        self.fake
            .fault(|faults| faults.max_delivered = Some(newest as i64));
    }

    fn release(&self) {
        self.fake.fault(|faults| faults.max_delivered = None);
    }

    /// A request that completes only after the server has read the backend and received its
    /// changes.
    async fn ask_and_release(
        &self,
        line: &'static str,
        body: impl Into<bytes::Bytes>,
    ) -> TestResponse {
        let before = self.fake.disk.lock().revision_reads;
        let request = self.start(line, body);
        self.until("a read of the revision", |fake| {
            fake.disk.lock().revision_reads > before
        })
        .await;
        self.release();
        request.response().await
    }

    /// A server that has not received the update of `x` to size 2.
    async fn of_updated_x() -> (Self, Value) {
        let test_server = Self::of_x().await;
        let x = test_server.x().await;
        test_server.hold();
        let uid = x["metadata"]["uid"].as_str().expect("a uid");
        test_server.fake.put([elsewhere("x", uid, 2)]);
        (test_server, x)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patch_applies_to_backend_state_when_cache_is_stale() {
    let (test_server, _) = TestServer::of_updated_x().await;
    // The event never arrives: the response of the backend is sufficient.
    let patched = test_server
        .request("MERGE things/x", r#"{"spec":{"replicas":7}}"#)
        .await;
    assert_eq!(
        patched.expect(200)["spec"],
        json!({"size": 2, "replicas": 7})
    );
    let test = r#"[{"op":"test","path":"/spec/replicas","value":7},
                   {"op":"replace","path":"/spec/size","value":3}]"#;
    let patched = test_server.ask_and_release("JSON things/x", test).await;
    assert_eq!(
        patched.expect(200)["spec"],
        json!({"size": 3, "replicas": 7})
    );

    let (test_server, _) = TestServer::of_updated_x().await;
    test_server.request("DELETE things/x", "").await.expect(200);
    assert!(test_server.fake.find("x").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn update_from_newest_version_succeeds_when_cache_is_stale() {
    let (test_server, x) = TestServer::of_updated_x().await;
    let newest = test_server.fake.revision().to_string();
    let update = with(&x, "/metadata/resourceVersion", newest);
    let response = test_server.ask_and_release("PUT things/x", update).await;
    assert_eq!(response.expect(200)["spec"]["size"], 1);

    let (test_server, x) = TestServer::of_updated_x().await;
    // The backend's response to the write detects the conflict, although the cache was believed
    // current.
    let status = test_server
        .request("PUT things/x", x.to_string())
        .await
        .expect(409);
    assert_eq!(status["reason"], "Conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn created_object_is_found_when_cache_is_stale() {
    let created = [
        ("MERGE things/y", r#"{"spec":{"size":9}}"#, 200),
        ("PUT things/y", "the newest", 200),
        ("PUT things/y/status", "the newest", 200),
        ("MERGE things/y/scale", r#"{"spec":{"replicas":9}}"#, 200),
        ("DELETE things/y", "", 200),
        ("DELETE things/y?dryRun=All", "", 200),
        ("MERGE things/y?dryRun=All", r#"{"spec":{"size":9}}"#, 200),
        ("POST things?dryRun=All", "a new one", 409),
        ("GET things/y", "", 200),
    ];
    for (line, body, code) in created {
        let test_server = TestServer::new().await;
        test_server.hold();
        let (key, value) = elsewhere("y", "u", 1);
        let stored: Value = serde_json::from_slice(&value).expect("JSON");
        let newest = test_server.fake.put([(key, value)]).to_string();
        let body = match body {
            "the newest" => with(&stored, "/metadata/resourceVersion", newest),
            "a new one" => thing("y", 1),
            other => other.to_owned(),
        };
        let response = test_server.ask_and_release(line, body).await;
        assert_eq!(response.code, code, "{line}: {}", response.text());
    }
    // A create needs no read.
    let test_server = TestServer::new().await;
    test_server.hold();
    test_server.fake.put([elsewhere("y", "u", 1)]);
    let status = test_server
        .request("POST things", thing("y", 1))
        .await
        .expect(409);
    assert_eq!(status["reason"], "AlreadyExists");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_object_is_not_found_when_cache_is_stale() {
    let gone = [
        ("MERGE things/x", r#"{"spec":{"size":9}}"#),
        ("PUT things/x", "as it was"),
        ("DELETE things/x", ""),
    ];
    for (line, body) in gone {
        let test_server = TestServer::of_x().await;
        let x = test_server.x().await;
        test_server.hold();
        test_server.fake.remove("x");
        let body = body.replace("as it was", &x.to_string());
        // The backend's response to the write is sufficient, and a create need not wait either.
        let status = test_server.request(line, body).await.expect(404);
        assert_eq!(status["reason"], "NotFound", "{line}");
        test_server
            .request("POST things", thing("x", 3))
            .await
            .expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recreated_object_is_distinguished_when_cache_is_stale() {
    let test_server = TestServer::of_x().await;
    let x = test_server.x().await;
    let uid = x["metadata"]["uid"].as_str().expect("a uid").to_owned();
    test_server.hold();
    test_server.fake.remove("x");
    test_server.fake.put([elsewhere("x", "another", 5)]);
    let precondition = json!({"preconditions": {"uid": uid}}).to_string();
    let status = test_server
        .request("DELETE things/x", precondition)
        .await
        .expect(409);
    let message = status["message"].as_str().expect("a message");
    assert!(
        message.contains(&format!(
            "the UID in the precondition ({uid}) does not match the UID in record (another)"
        )),
        "{message}"
    );
    let newest = test_server.fake.revision().to_string();
    let update = with(&x, "/metadata/resourceVersion", newest);
    let response = test_server.ask_and_release("PUT things/x", update).await;
    assert_eq!(response.expect(409)["reason"], "Conflict");
    let left = test_server.x().await;
    assert_eq!(
        (&left["metadata"]["uid"], &left["spec"]["size"]),
        (&json!("another"), &json!(5))
    );
    assert_eq!(version(&left), test_server.fake.revision().to_string());
}
