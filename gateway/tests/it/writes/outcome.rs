//! Names that are taken, and deletions of collections.

use backend_proto::error::Reason;

use super::server::{TestServer, thing};
use crate::fake::faults::backend_error;

#[tokio::test(flavor = "multi_thread")]
async fn taken_generated_name_is_regenerated() {
    let test_server = TestServer::new().await;
    let generated = thing("x", 1).replace(r#""name":"x""#, r#""generateName":"g-""#);
    test_server.fake.fault(|faults| faults.taken = 3);
    let ops = test_server.fake.disk.lock().ops;
    let created = test_server
        .request("POST things", generated.clone())
        .await
        .expect(201);
    assert_eq!(test_server.fake.disk.lock().ops, ops + 4);
    let name = created["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("g-") && name.len() == 7, "{name}");
    assert_eq!(created["metadata"]["generateName"], "g-");
    // The number of attempts is bounded, and exhausting it is reported.
    test_server.fake.fault(|faults| faults.taken = usize::MAX);
    let status = test_server
        .request("POST things", generated)
        .await
        .expect(409);
    assert_eq!(status["reason"], "AlreadyExists");
    assert_eq!(test_server.fake.changes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn name_is_taken_until_object_is_deleted() {
    let test_server = TestServer::new().await;
    let held = thing("x", 1).replace(
        r#""name":"x""#,
        r#""name":"x","finalizers":["example.com/f"]"#,
    );
    test_server.request("POST things", held).await.expect(201);
    let message = |status: serde_json::Value| status["message"].as_str().expect("text").to_owned();
    let taken = r#"things.example.com "x" already exists"#;
    let status = test_server
        .request("POST things", thing("x", 2))
        .await
        .expect(409);
    assert_eq!(message(status), taken);
    test_server.request("DELETE things/x", "").await.expect(200);
    for line in ["POST things", "POST things?dryRun=All"] {
        let status = test_server.request(line, thing("x", 2)).await.expect(409);
        assert_eq!(message(status), format!("object is being deleted: {taken}"));
    }
    let letting_go = r#"{"metadata":{"finalizers":null}}"#;
    test_server
        .request("MERGE things/x", letting_go)
        .await
        .expect(200);
    test_server
        .request("POST things", thing("x", 2))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletecollection_succeeds_only_if_all_objects_are_deleted() {
    let test_server = TestServer::new().await;
    for at in 0..10 {
        test_server
            .request("POST things", thing(&format!("t{at}"), at))
            .await
            .expect(201);
    }
    let rejected = ("t4".to_owned(), backend_error(Reason::NotReady));
    test_server
        .fake
        .fault(|faults| faults.rejected = [rejected].into());
    let response = test_server.request("DELETE things", "").await;
    let status = response.expect(503);
    assert_eq!(status["reason"], "ServiceUnavailable");
    assert!(response.retry_after().is_some());
    assert!(test_server.fake.find("t4").is_some());
    test_server.fake.fault(|faults| faults.rejected.clear());
    test_server.request("DELETE things", "").await.expect(200);
    let left = test_server.request("GET things", "").await.expect(200);
    assert_eq!(left["items"], serde_json::json!([]));
}
