//! Size and depth limits of bodies.

use serde_json::json;

use super::server::{TestServer, thing};

/// A body of a create of exactly this many bytes.
fn sized(resource: &str, kind: &str, bytes: usize) -> String {
    let object = |text: String| {
        json!({"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": resource}, "text": text})
            .to_string()
    };
    let frame = object(String::new()).len();
    object("t".repeat(bytes - frame))
}

#[tokio::test(flavor = "multi_thread")]
async fn body_limit_follows_resource_annotation() {
    let test_server = TestServer::new().await;
    for (resource, kind, limit) in [("things", "Thing", 3 << 20), ("tomes", "Tome", 32 << 20)] {
        let line = format!("POST {resource}");
        let status = test_server
            .request(&line, sized(resource, kind, limit + 1))
            .await
            .expect(413);
        assert_eq!(status["reason"], "RequestEntityTooLarge");
        assert_eq!(
            status["message"],
            format!("Request entity too large: limit is {limit}")
        );
        assert!(test_server.fake.find(resource).is_none());
        test_server
            .request(&line, sized(resource, kind, limit))
            .await
            .expect(201);
        assert!(test_server.fake.find(resource).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_mebibyte_object_is_returned_byte_for_byte() {
    let test_server = TestServer::new().await;
    let mut watch = test_server.server.watch("tomes?watch=1").await;
    let created = test_server
        .request("POST tomes", sized("big", "Tome", 10 << 20))
        .await;
    created.expect(201);
    assert!(created.body.len() > 10 << 20);
    let object = created.body.strip_suffix(b"\n").expect("a newline");
    let event = watch.line().await;
    assert!(event == [b"{\"type\":\"ADDED\",\"object\":", object, b"}\n"].concat());
    let test_server = test_server.restart().await;
    let got = test_server.request("GET tomes/big", "").await;
    assert!(got.body == created.body);
    let list = test_server.request("GET tomes", "").await;
    assert!(memchr::memmem::find(&list.body, object).is_some());
    let patched = test_server
        .request("MERGE tomes/big", r#"{"metadata":{"labels":{"a":"b"}}}"#)
        .await;
    let text = &patched.expect(200)["text"];
    assert_eq!(
        text.as_str().map(str::len),
        created.expect(201)["text"].as_str().map(str::len)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn body_depth_limit_is_enforced() {
    let test_server = TestServer::of_x().await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let spec = |depth| format!(r#"{{"deep":{}}}"#, nested(depth));
    let create = |depth| {
        let (thing, spec) = (thing("deep", 1), spec(depth));
        thing.replace(r#"{"replicas":1,"size":1}"#, &spec)
    };
    assert!(create(3).contains("[[[]]]"));
    for (line, body) in [
        ("POST things", create(20_000)),
        ("MERGE things/x", format!(r#"{{"spec":{}}}"#, spec(20_000))),
        ("DELETE things/x", nested(20_000)),
    ] {
        let status = test_server.request(line, body).await.expect(400);
        assert_eq!(status["reason"], "BadRequest", "{line}");
    }
    test_server
        .request("POST things", create(100))
        .await
        .expect(201);
    assert_eq!(test_server.x().await["spec"]["size"], 1);
}
