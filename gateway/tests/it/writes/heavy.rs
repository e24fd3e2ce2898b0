//! Large writes run on the pool: they delay no other request, and are cancelled when their client
//! disconnects.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::server::{TestServer, thing};
use crate::busy::busy;

/// A thing above the weight of inline work.
fn large(name: &str) -> String {
    let mut large: Value = serde_json::from_str(&thing(name, 1)).expect("JSON");
    large["spec"]["text"] = Value::from("x".repeat(200_000));
    large.to_string()
}

#[tokio::test]
async fn large_writes_use_pool_and_small_writes_run_inline() {
    let test_server = TestServer::of_x().await;
    test_server
        .request("POST things", large("big"))
        .await
        .expect(201);
    let merge = json!({"spec": {"size": 2}}).to_string();
    let json = json!([{"op": "replace", "path": "/spec/size", "value": 3}]).to_string();
    // The stored object counts besides the body.
    for (line, body, code) in [
        ("POST things", large("other"), 201),
        ("POST things?dryRun=All", large("more"), 201),
        ("PUT things/big", large("big"), 422),
        ("MERGE things/big", merge.clone(), 200),
        ("JSON things/big", json, 200),
        ("MERGE things/big/status", merge.clone(), 200),
        ("MERGE things/big/scale", merge, 200),
        ("GET things/big?pretty=true", String::new(), 200),
        ("GET things/big/scale", String::new(), 200),
        (
            "DELETE things?fieldSelector=metadata.name=other",
            String::new(),
            200,
        ),
        ("DELETE things/big", String::new(), 200),
    ] {
        let release = busy(&test_server.compute).await;
        let mut waits = test_server.start(line, body);
        for round in 0..20 {
            test_server.request("GET things/x", "").await.expect(200);
            let merge = json!({"spec": {"size": round}}).to_string();
            test_server
                .request("MERGE things/x", merge)
                .await
                .expect(200);
        }
        assert!(!waits.has_response(), "{line}");
        drop(release);
        waits.response().await.expect(code);
    }
    test_server.request("GET things/big", "").await.expect(404);
    test_server
        .request("GET things/other", "")
        .await
        .expect(404);
}

#[tokio::test]
async fn deadline_ends_wait_for_pool() {
    let test_server = TestServer::of_x().await;
    let release = busy(&test_server.compute).await;
    let began = Instant::now();
    let timed_out = test_server
        .request("POST things?timeout=1s", large("late"))
        .await;
    let took = began.elapsed();
    assert_eq!(timed_out.code, 504, "{}", timed_out.text());
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(release);
    // The next job in the queue completes, so the cancelled one would have as well.
    test_server
        .request("POST things", large("next"))
        .await
        .expect(201);
    test_server.request("GET things/late", "").await.expect(404);
}

#[tokio::test]
async fn queued_job_of_disconnected_client_is_not_started() {
    let test_server = TestServer::of_x().await;
    let release = busy(&test_server.compute).await;
    let gone = test_server.start("POST things", large("gone"));
    test_server.request("GET things/x", "").await.expect(200);
    gone.leave().await;
    drop(release);
    test_server
        .request("POST things", large("next"))
        .await
        .expect(201);
    test_server.request("GET things/gone", "").await.expect(404);
}

#[tokio::test]
async fn excess_large_writes_of_one_user_are_rejected() {
    let test_server = TestServer::of_x().await;
    let release = busy(&test_server.compute).await;
    let mut requests = JoinSet::new();
    for at in 0..70 {
        let (server, body) = (test_server.server.clone(), large(&format!("n{at}")));
        requests.spawn(async move { server.request("POST things", body).await });
    }
    // Only rejected requests have a response: from the pool, or from the limit of bodies before it.
    let rejected = requests.join_next().await.expect("one").expect("no panic");
    drop(release);
    let mut stored = 0;
    for response in requests.join_all().await.into_iter().chain([rejected]) {
        if response.code == 201 {
            stored += 1;
        } else {
            response.expect(429);
            assert_eq!(response.retry_after(), Some("1"));
        }
    }
    assert!((1..70).contains(&stored), "{stored} of 70");
}
