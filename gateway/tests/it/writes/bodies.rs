//! How large and how deep a body may be.

use serde_json::json;

use super::world::{World, thing};

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
async fn a_body_may_be_as_large_as_its_resource_says() {
    let world = World::new().await;
    for (resource, kind, limit) in [("things", "Thing", 3 << 20), ("tomes", "Tome", 32 << 20)] {
        let line = format!("POST {resource}");
        let status = world
            .ask(&line, sized(resource, kind, limit + 1))
            .await
            .expect(413);
        assert_eq!(status["reason"], "RequestEntityTooLarge");
        assert_eq!(
            status["message"],
            format!("Request entity too large: limit is {limit}")
        );
        assert!(world.fake.find(resource).is_none());
        world
            .ask(&line, sized(resource, kind, limit))
            .await
            .expect(201);
        assert!(world.fake.find(resource).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_mebibytes_come_back_to_the_byte() {
    let world = World::new().await;
    let mut watch = world.server.watch("tomes?watch=1").await;
    let created = world
        .ask("POST tomes", sized("big", "Tome", 10 << 20))
        .await;
    created.expect(201);
    assert!(created.body.len() > 10 << 20);
    let object = created.body.strip_suffix(b"\n").expect("a newline");
    let event = watch.line().await;
    assert!(event == [b"{\"type\":\"ADDED\",\"object\":", object, b"}\n"].concat());
    let world = world.restart().await;
    let got = world.ask("GET tomes/big", "").await;
    assert!(got.body == created.body);
    let list = world.ask("GET tomes", "").await;
    assert!(memchr::memmem::find(&list.body, object).is_some());
    let patched = world
        .ask("MERGE tomes/big", r#"{"metadata":{"labels":{"a":"b"}}}"#)
        .await;
    let text = &patched.expect(200)["text"];
    assert_eq!(
        text.as_str().map(str::len),
        created.expect(201)["text"].as_str().map(str::len)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_may_be_as_deep_as_its_reader() {
    let world = World::of_x().await;
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
        let status = world.ask(line, body).await.expect(400);
        assert_eq!(status["reason"], "BadRequest", "{line}");
    }
    world.ask("POST things", create(100)).await.expect(201);
    assert_eq!(world.x().await["spec"]["size"], 1);
}
