//! Cancellation of requests of disconnected clients.

use std::time::Duration;

use super::server::{TestServer, thing};

/// `revision_reads` and `ops` of the fake.
fn calls(test_server: &TestServer) -> (usize, usize) {
    let disk = test_server.fake.disk.lock();
    (disk.revision_reads, disk.ops)
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_cancelled_when_client_disconnects() {
    let cases = [
        ("GET things", String::new()),
        ("GET things/x", String::new()),
        ("GET things?watch=1", String::new()),
        ("POST things", thing("y", 1)),
        ("MERGE things/x", r#"{"spec":{"size":2}}"#.to_owned()),
        ("DELETE things/x", String::new()),
        ("DELETE things", String::new()),
    ];
    for (line, body) in cases {
        let test_server = TestServer::of_x().await;
        test_server.fake.fault(|faults| faults.silent = true);
        let request = test_server.start(line, body);
        test_server
            .until("it waits", |fake| fake.disk.lock().open == 1)
            .await;
        request.leave().await;
        test_server
            .until("it is over", |fake| fake.disk.lock().open == 0)
            .await;
        let before = calls(&test_server);
        // Longer than any retry delay.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(calls(&test_server), before, "{line}");
        test_server.fake.fault(|faults| faults.silent = false);
        assert_eq!(test_server.x().await["spec"]["size"], 1, "{line}");
        test_server.request("GET things/y", "").await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_does_not_cancel_batched_requests() {
    let test_server = TestServer::of_x().await;
    test_server.fake.fault(|faults| faults.silent = true);
    // As many as the concurrent calls, so that later operations share a batch.
    let mut first = Vec::new();
    for calls in 1..=4 {
        first.push(test_server.start("POST things", thing("first", 1)));
        test_server
            .until("it has a call", |fake| fake.disk.lock().open == calls)
            .await;
    }
    let gone = test_server.start("POST things", thing("gone", 1));
    let stays = test_server.start("POST things", thing("stays", 1));
    // Until both wait for a call.
    tokio::time::sleep(Duration::from_millis(200)).await;
    gone.leave().await;
    test_server.fake.fault(|faults| faults.silent = false);
    stays.response().await.expect(201);
    let mut codes = Vec::new();
    for request in first {
        codes.push(request.response().await.code);
    }
    codes.sort_unstable();
    assert_eq!(codes, [201, 409, 409, 409]);
    test_server.request("GET things/gone", "").await.expect(404);
}
