//! Names that are taken, and deletions of many.

use backend_proto::error::Reason;

use super::world::{World, thing};
use crate::fake::faults::trouble;

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_name_that_is_taken_is_made_anew() {
    let world = World::new().await;
    let generated = thing("x", 1).replace(r#""name":"x""#, r#""generateName":"g-""#);
    world.fake.fault(|faults| faults.taken = 3);
    let ops = world.fake.disk.lock().ops;
    let created = world
        .ask("POST things", generated.clone())
        .await
        .expect(201);
    assert_eq!(world.fake.disk.lock().ops, ops + 4);
    let name = created["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("g-") && name.len() == 7, "{name}");
    assert_eq!(created["metadata"]["generateName"], "g-");
    // Bad luck without end is told, and is no endless loop.
    world.fake.fault(|faults| faults.taken = usize::MAX);
    let status = world.ask("POST things", generated).await.expect(409);
    assert_eq!(status["reason"], "AlreadyExists");
    assert_eq!(world.fake.changes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_until_its_object_is_gone() {
    let world = World::new().await;
    let held = thing("x", 1).replace(
        r#""name":"x""#,
        r#""name":"x","finalizers":["example.com/f"]"#,
    );
    world.ask("POST things", held).await.expect(201);
    let message = |status: serde_json::Value| status["message"].as_str().expect("text").to_owned();
    let taken = r#"things.example.com "x" already exists"#;
    let status = world.ask("POST things", thing("x", 2)).await.expect(409);
    assert_eq!(message(status), taken);
    world.ask("DELETE things/x", "").await.expect(200);
    for line in ["POST things", "POST things?dryRun=All"] {
        let status = world.ask(line, thing("x", 2)).await.expect(409);
        assert_eq!(message(status), format!("object is being deleted: {taken}"));
    }
    let letting_go = r#"{"metadata":{"finalizers":null}}"#;
    world.ask("MERGE things/x", letting_go).await.expect(200);
    world.ask("POST things", thing("x", 2)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_gone_only_if_all_of_it_is() {
    let world = World::new().await;
    for at in 0..10 {
        world
            .ask("POST things", thing(&format!("t{at}"), at))
            .await
            .expect(201);
    }
    let refused = ("t4".to_owned(), trouble(Reason::NotReady));
    world.fake.fault(|faults| faults.refused = [refused].into());
    let answer = world.ask("DELETE things", "").await;
    let status = answer.expect(503);
    assert_eq!(status["reason"], "ServiceUnavailable");
    assert!(answer.retry_after().is_some());
    assert!(world.fake.find("t4").is_some());
    world.fake.fault(|faults| faults.refused.clear());
    world.ask("DELETE things", "").await.expect(200);
    let left = world.ask("GET things", "").await.expect(200);
    assert_eq!(left["items"], serde_json::json!([]));
}
