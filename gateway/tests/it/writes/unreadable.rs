//! An undecodable stored object is an error, not a missing object.

use serde_json::Value;

use super::server::{TestServer, thing};

const BROKEN: &str = "the stored object a/x of things.example.com cannot be read";

/// A server in which `x` is undecodable and `y` is valid.
async fn test_server() -> TestServer {
    let test_server = TestServer::of_x().await;
    test_server
        .request("POST things", thing("y", 2))
        .await
        .expect(201);
    test_server
        .fake
        .put([("a/x".to_owned(), b"{\"kind\":".to_vec())]);
    test_server
}

fn named(status: &Value, line: &str) {
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains(BROKEN), "{line}: {message}");
    assert_eq!(status["reason"], "InternalError", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn undecodable_object_fails_its_readers_only() {
    let mut test_server = test_server().await;
    // Once received as a change, and once loaded at the start.
    for _ in 0..2 {
        for line in [
            "GET things/x",
            "GET things/x?resourceVersion=0",
            "GET things/x/scale",
            "GET things",
            "GET things?limit=1",
            "GET things?labelSelector=a%3Db",
            "GET things?resourceVersion=0",
            "GET things?watch=1",
            "GET things?watch=1&fieldSelector=metadata.name%3Dx",
            "PUT things/x",
            "MERGE things/x",
            "DELETE things",
            "DELETE things/x?uid",
        ] {
            let version = test_server.fake.revision();
            let put = thing("x", 1).replace(
                r#""name":"x""#,
                &format!(r#""name":"x","resourceVersion":"{version}""#),
            );
            let body = match line {
                "PUT things/x" => put,
                "MERGE things/x" => "{}".to_owned(),
                "DELETE things/x?uid" => r#"{"preconditions":{"uid":"u"}}"#.to_owned(),
                _ => String::new(),
            };
            named(&test_server.request(line, body).await.expect(500), line);
        }
        let status = test_server
            .request("POST things", thing("x", 1))
            .await
            .expect(409);
        assert_eq!(status["reason"], "AlreadyExists");
        for line in [
            "GET things/y",
            "GET things?fieldSelector=metadata.name%3Dy",
            "GET tomes",
            "MERGE things/y",
        ] {
            let body = if line.starts_with("GET") { "" } else { "{}" };
            test_server.request(line, body).await.expect(200);
        }
        test_server = test_server.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn undecodable_object_ends_watches_with_error() {
    let test_server = TestServer::of_x().await;
    let from = test_server.fake.revision();
    let watch = |selection: &str| {
        let path = format!("things?watch=1&resourceVersion={from}{selection}");
        let server = test_server.server.clone();
        async move { server.watch(&path).await }
    };
    let mut all = watch("").await;
    let mut selected = watch("&labelSelector=a%3Db").await;
    let mut other = watch("&fieldSelector=metadata.name%3Dy").await;
    test_server
        .fake
        .put([("a/x".to_owned(), b"garbage".to_vec())]);
    for watch in [&mut all, &mut selected] {
        let event = watch.event().await;
        assert_eq!(event["type"], "ERROR");
        named(&event["object"], "watch");
        assert_eq!(event["object"]["code"], 500);
    }
    test_server
        .request("POST things", thing("y", 1))
        .await
        .expect(201);
    assert_eq!(other.event().await["type"], "ADDED");
    // A watch that starts later, without initial objects, receives later changes.
    let mut later = test_server
        .server
        .watch(&format!(
            "things?watch=1&resourceVersion={}",
            test_server.fake.revision()
        ))
        .await;
    test_server
        .request("POST things", thing("z", 1))
        .await
        .expect(201);
    assert_eq!(later.event().await["object"]["metadata"]["name"], "z");
}

#[tokio::test(flavor = "multi_thread")]
async fn undecodable_object_is_deletable_by_name() {
    let test_server = test_server().await;
    let version = test_server.fake.revision();
    test_server
        .request("DELETE things/x?dryRun=All", "")
        .await
        .expect(200);
    assert!(test_server.fake.find("x").is_some());
    let stale = r#"{"preconditions":{"resourceVersion":"1"}}"#;
    test_server
        .request("DELETE things/x", stale)
        .await
        .expect(409);
    assert!(test_server.fake.find("x").is_some());
    let exact = format!(r#"{{"preconditions":{{"resourceVersion":"{version}"}}}}"#);
    let status = test_server
        .request("DELETE things/x", exact)
        .await
        .expect(200);
    assert_eq!(status["status"], "Success");
    assert!(test_server.fake.find("x").is_none());
    test_server.request("GET things/x", "").await.expect(404);
    let list = test_server.request("GET things", "").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    test_server.request("DELETE things/x", "").await.expect(404);
    test_server
        .request("POST things", thing("x", 1))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn repaired_object_is_not_deleted_as_undecodable() {
    let test_server = test_server().await;
    test_server.request("GET things/x", "").await.expect(500);
    let newest = test_server.fake.revision();
    test_server
        .fake
        .fault(|faults| faults.max_delivered = Some(newest as i64));
    let repaired = r#"{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"x","namespace":"a","uid":"u","finalizers":["example.com/f"]}}"#;
    test_server
        .fake
        .put([("a/x".to_owned(), repaired.as_bytes().to_vec())]);
    let before = test_server.fake.disk.lock().revision_reads;
    let deletion = test_server.start("DELETE things/x", "");
    test_server
        .until("a read of the revision", |fake| {
            fake.disk.lock().revision_reads > before
        })
        .await;
    test_server.fake.fault(|faults| faults.max_delivered = None);
    let held = deletion.response().await.expect(200);
    assert!(held["metadata"]["deletionTimestamp"].is_string(), "{held}");
    assert!(
        test_server.fake.find("x").is_some(),
        "its finalizer holds it"
    );
}
