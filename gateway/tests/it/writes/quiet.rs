//! Writes without a change, and dry runs.

use serde_json::json;

use super::server::{TestServer, thing, version, with};

#[tokio::test(flavor = "multi_thread")]
async fn write_without_change_keeps_version_and_sends_no_event() {
    let test_server = TestServer::of_x().await;
    test_server
        .request("MERGE things/x/status", r#"{"status":{"a":1}}"#)
        .await
        .expect(200);
    let held = thing("held", 1).replace(
        r#""name":"held""#,
        r#""name":"held","finalizers":["example.com/f"]"#,
    );
    test_server.request("POST things", held).await.expect(201);
    test_server
        .request("DELETE things/held", "")
        .await
        .expect(200);
    let x = test_server.x().await;
    let held = test_server.request("GET things/held", "").await.expect(200);
    let changes = test_server.fake.changes();
    let mut watch = test_server
        .server
        .watch(&format!(
            "things?watch=1&resourceVersion={}",
            test_server.fake.revision()
        ))
        .await;
    // Not the Scale: kube-apiserver writes its managers (scenarios/cases/scale/unchanged.yaml).
    let cases = [
        ("PUT things/x", x.to_string()),
        // Fields that clients cannot set.
        ("PUT things/x", with(&x, "/metadata/generation", 77)),
        ("PUT things/x", with(&x, "/status", json!({"a": 2}))),
        ("PUT things/x/status", with(&x, "/spec/size", 77)),
        ("MERGE things/x", "{}".to_owned()),
        (
            "MERGE things/x",
            r#"{"spec":{"size":1,"nothing":null}}"#.to_owned(),
        ),
        ("JSON things/x", "[]".to_owned()),
        ("MERGE things/x/status", r#"{"status":{"a":1}}"#.to_owned()),
        ("DELETE things/held", String::new()),
    ];
    for (line, body) in cases {
        let response = test_server.request(line, body.clone()).await.expect(200);
        let before = if line.contains("held") { &held } else { &x };
        assert_eq!(version(&response), version(before), "{line} {body}");
    }
    assert_eq!(test_server.fake.changes(), changes);
    // The next event of the watch is the next change.
    test_server
        .request("POST things", thing("next", 1))
        .await
        .expect(201);
    assert_eq!(watch.event().await["object"]["metadata"]["name"], "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_sends_no_write_to_backend() {
    let test_server = TestServer::of_x().await;
    let x = test_server.x().await;
    let (changes, ops) = (test_server.fake.changes(), test_server.fake.disk.lock().ops);
    let generated = thing("y", 1).replace(r#""name":"y""#, r#""generateName":"y-""#);
    let cases = [
        ("POST things?dryRun=All", thing("y", 1), 201),
        ("POST things?dryRun=All", generated, 201),
        ("POST things?dryRun=All", thing("x", 1), 409),
        ("PUT things/x?dryRun=All", with(&x, "/spec/size", 2), 200),
        (
            "PUT things/x/status?dryRun=All",
            with(&x, "/status", json!({"a": 1})),
            200,
        ),
        (
            "MERGE things/x?dryRun=All",
            r#"{"spec":{"size":2}}"#.to_owned(),
            200,
        ),
        (
            "JSON things/x?dryRun=All",
            r#"[{"op":"remove","path":"/spec/size"}]"#.to_owned(),
            200,
        ),
        (
            "MERGE things/x/scale?dryRun=All",
            r#"{"spec":{"replicas":9}}"#.to_owned(),
            200,
        ),
        ("DELETE things/x?dryRun=All", String::new(), 200),
        ("DELETE things/x", r#"{"dryRun":["All"]}"#.to_owned(), 200),
        ("DELETE things/nope?dryRun=All", String::new(), 404),
        ("DELETE things?dryRun=All", String::new(), 200),
    ];
    for (line, body, code) in cases {
        let response = test_server.request(line, body).await;
        assert_eq!(response.code, code, "{line}: {}", response.text());
    }
    assert_eq!(test_server.fake.changes(), changes);
    assert_eq!(
        test_server.fake.disk.lock().ops,
        ops,
        "no call to the driver"
    );
    assert_eq!(test_server.x().await, x);
}
