//! A stored object that nobody can read is an error, not a missing object.

use serde_json::Value;

use super::world::{World, thing};

const BROKEN: &str = "the stored object a/x of things.example.com cannot be read";

/// A world in which `x` is garbage and `y` is not.
async fn world() -> World {
    let world = World::of_x().await;
    world.ask("POST things", thing("y", 2)).await.expect(201);
    world.fake.put([("a/x".to_owned(), b"{\"kind\":".to_vec())]);
    world
}

fn named(status: &Value, line: &str) {
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains(BROKEN), "{line}: {message}");
    assert_eq!(status["reason"], "InternalError", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_would_have_to_show_it_fails_and_nobody_else() {
    let mut world = world().await;
    // As it comes, and as it is found at the start.
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
            let version = world.fake.revision();
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
            named(&world.ask(line, body).await.expect(500), line);
        }
        let status = world.ask("POST things", thing("x", 1)).await.expect(409);
        assert_eq!(status["reason"], "AlreadyExists");
        for line in [
            "GET things/y",
            "GET things?fieldSelector=metadata.name%3Dy",
            "GET tomes",
            "MERGE things/y",
        ] {
            let body = if line.starts_with("GET") { "" } else { "{}" };
            world.ask(line, body).await.expect(200);
        }
        world = world.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_told_and_not_passed_over() {
    let world = World::of_x().await;
    let from = world.fake.revision();
    let watch = |selection: &str| {
        let path = format!("things?watch=1&resourceVersion={from}{selection}");
        let server = world.server.clone();
        async move { server.watch(&path).await }
    };
    let mut all = watch("").await;
    let mut selected = watch("&labelSelector=a%3Db").await;
    let mut other = watch("&fieldSelector=metadata.name%3Dy").await;
    world.fake.put([("a/x".to_owned(), b"garbage".to_vec())]);
    for watch in [&mut all, &mut selected] {
        let event = watch.event().await;
        assert_eq!(event["type"], "ERROR");
        named(&event["object"], "watch");
        assert_eq!(event["object"]["code"], 500);
    }
    world.ask("POST things", thing("y", 1)).await.expect(201);
    assert_eq!(other.event().await["type"], "ADDED");
    // Who comes later and does not ask for what is there sees what follows.
    let mut later = world
        .server
        .watch(&format!(
            "things?watch=1&resourceVersion={}",
            world.fake.revision()
        ))
        .await;
    world.ask("POST things", thing("z", 1)).await.expect(201);
    assert_eq!(later.event().await["object"]["metadata"]["name"], "z");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_get_rid_of_it_by_its_name() {
    let world = world().await;
    let version = world.fake.revision();
    world
        .ask("DELETE things/x?dryRun=All", "")
        .await
        .expect(200);
    assert!(world.fake.find("x").is_some());
    let stale = r#"{"preconditions":{"resourceVersion":"1"}}"#;
    world.ask("DELETE things/x", stale).await.expect(409);
    assert!(world.fake.find("x").is_some());
    let exact = format!(r#"{{"preconditions":{{"resourceVersion":"{version}"}}}}"#);
    let status = world.ask("DELETE things/x", exact).await.expect(200);
    assert_eq!(status["status"], "Success");
    assert!(world.fake.find("x").is_none());
    world.ask("GET things/x", "").await.expect(404);
    let list = world.ask("GET things", "").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    world.ask("DELETE things/x", "").await.expect(404);
    world.ask("POST things", thing("x", 1)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_repaired_elsewhere_is_not_deleted_for_what_it_was() {
    let world = world().await;
    world.ask("GET things/x", "").await.expect(500);
    let newest = world.fake.revision();
    world.fake.fault(|faults| faults.held = Some(newest as i64));
    let repaired = r#"{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"x","namespace":"a","uid":"u","finalizers":["example.com/f"]}}"#;
    world
        .fake
        .put([("a/x".to_owned(), repaired.as_bytes().to_vec())]);
    let asked = world.fake.disk.lock().asked;
    let deletion = world.start("DELETE things/x", "");
    world
        .until("asked", |fake| fake.disk.lock().asked > asked)
        .await;
    world.fake.fault(|faults| faults.held = None);
    let held = deletion.answer().await.expect(200);
    assert!(held["metadata"]["deletionTimestamp"].is_string(), "{held}");
    assert!(world.fake.find("x").is_some(), "its finalizer holds it");
}
