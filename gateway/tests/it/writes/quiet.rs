//! Writes that change nothing, and writes that are only tried.

use serde_json::json;

use super::world::{World, thing, version, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_changes_nothing_is_no_change() {
    let world = World::of_x().await;
    world
        .ask("MERGE things/x/status", r#"{"status":{"a":1}}"#)
        .await
        .expect(200);
    let held = thing("held", 1).replace(
        r#""name":"held""#,
        r#""name":"held","finalizers":["example.com/f"]"#,
    );
    world.ask("POST things", held).await.expect(201);
    world.ask("DELETE things/held", "").await.expect(200);
    let x = world.x().await;
    let held = world.ask("GET things/held", "").await.expect(200);
    let changes = world.fake.changes();
    let mut watch = world
        .server
        .watch(&format!(
            "things?watch=1&resourceVersion={}",
            world.fake.revision()
        ))
        .await;
    let scale = world.ask("GET things/x/scale", "").await.expect(200);
    let cases = [
        ("PUT things/x", x.to_string()),
        // What is not the client's to say.
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
        ("PUT things/x/scale", scale.to_string()),
        ("DELETE things/held", String::new()),
    ];
    for (line, body) in cases {
        let answer = world.ask(line, body.clone()).await.expect(200);
        let before = if line.contains("held") { &held } else { &x };
        assert_eq!(version(&answer), version(before), "{line} {body}");
    }
    assert_eq!(world.fake.changes(), changes);
    // The watch sees the next change first.
    world.ask("POST things", thing("next", 1)).await.expect(201);
    assert_eq!(watch.event().await["object"]["metadata"]["name"], "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_asks_the_backend_for_no_change() {
    let world = World::of_x().await;
    let x = world.x().await;
    let (changes, ops) = (world.fake.changes(), world.fake.disk.lock().ops);
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
        let answer = world.ask(line, body).await;
        assert_eq!(answer.code, code, "{line}: {}", answer.text());
    }
    assert_eq!(world.fake.changes(), changes);
    assert_eq!(world.fake.disk.lock().ops, ops, "not even asked for");
    assert_eq!(world.x().await, x);
}
