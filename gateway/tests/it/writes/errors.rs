//! Storage errors are reported as such: never as a missing object, a conflict or a success.

use backend_proto::error::{BackendError, Outcome, Reason};
use futures_util::future::join_all;

use super::server::{TestResponse, TestServer, thing};
use crate::fake::faults::backend_error;

const UNKNOWN: &str = "the outcome of the write is unknown";

const READS: [&str; 5] = [
    "GET things/x",
    "GET things/x/scale",
    "GET things",
    "GET things?watch=1",
    "GET things?limit=1",
];

/// Mutating requests and their bodies.
fn writes() -> Vec<(&'static str, String)> {
    let x = thing("x", 2);
    let created = thing("y", 1);
    let generated = created.replace(r#""name":"y""#, r#""generateName":"y-""#);
    let patch = r#"{"spec":{"size":2}}"#;
    let scale = r#"{"spec":{"replicas":2}}"#;
    let owned = |(line, body): (&'static str, &str)| (line, body.to_owned());
    [
        ("POST things", &*created),
        ("POST things", &generated),
        ("PUT things/x", &x),
        ("MERGE things/x", patch),
        (
            "JSON things/x",
            r#"[{"op":"add","path":"/spec/size","value":2}]"#,
        ),
        ("PUT things/x/status", &x),
        ("MERGE things/x/status", r#"{"status":{"a":1}}"#),
        ("MERGE things/x/scale", scale),
        ("DELETE things/x", ""),
        ("DELETE things", ""),
    ]
    .map(owned)
    .into()
}

/// All reads and writes at once; each response with its request.
async fn ask_all(test_server: &TestServer, query: &str) -> Vec<(String, TestResponse)> {
    let version = test_server.fake.revision().to_string();
    let reads = READS.map(|line| (line, String::new()));
    let requests = reads.into_iter().chain(writes());
    join_all(requests.map(|(line, body)| {
        // An update names the current version.
        let named = format!(r#""name":"x","resourceVersion":"{version}""#);
        let body = if line.starts_with("PUT") {
            body.replace(r#""name":"x""#, &named)
        } else {
            body
        };
        let line = match (query, line.contains('?')) {
            ("", _) => line.to_owned(),
            (query, true) => format!("{line}&{query}"),
            (query, false) => format!("{line}?{query}"),
        };
        async move {
            let response = test_server.request(&line, body).await;
            (line, response)
        }
    }))
    .await
}

fn reads(line: &str) -> bool {
    line.starts_with("GET")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_storage_error_has_its_own_response() {
    let test_server = TestServer::of_x().await;
    let before = test_server.x().await;
    let cases = [
        (Reason::Overloaded, 429, 429),
        (Reason::NotReady, 503, 503),
        (Reason::EpochChanged, 503, 503),
        (Reason::Deadline, 504, 503),
        (Reason::TooLarge, 413, 413),
        (Reason::NoSpace, 507, 507),
        (Reason::Corrupt, 500, 500),
        (Reason::Internal, 500, 500),
    ];
    for (reason, read, write) in cases {
        let changes = test_server.fake.changes();
        test_server
            .fake
            .fault(|faults| faults.calls = Some(backend_error(reason)));
        for (line, response) in ask_all(&test_server, "").await {
            let expected = match line.as_str() {
                // It starts with a list.
                "DELETE things" => read,
                line if reads(line) => read,
                _ => write,
            };
            let status = response.expect(expected);
            assert_eq!(status["kind"], "Status", "{reason:?} {line}");
            assert_eq!(status["status"], "Failure", "{reason:?} {line}");
            let retried = matches!(response.code, 429 | 503 | 504 | 507);
            assert_eq!(
                response.retry_after().is_some(),
                retried,
                "{reason:?} {line}"
            );
        }
        test_server.fake.fault(|faults| faults.calls = None);
        assert_eq!(test_server.fake.changes(), changes, "{reason:?}");
    }
    assert_eq!(test_server.x().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_operation_does_not_affect_its_batch() {
    let test_server = TestServer::of_x().await;
    for (reason, code) in [(Reason::NoSpace, 507), (Reason::TooLarge, 413)] {
        let reject = |name: &str| (name.to_owned(), backend_error(reason));
        test_server
            .fake
            .fault(|faults| faults.rejected = [reject("x"), reject("y")].into());
        let patch = r#"{"spec":{"size":2}}"#;
        let (rejected, created, other) = tokio::join!(
            test_server.request("MERGE things/x", patch),
            test_server.request("POST things", thing("y", 1)),
            test_server.request("POST things", thing("z", 1)),
        );
        rejected.expect(code);
        created.expect(code);
        other.expect(201);
        test_server.request("DELETE things/z", "").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_backend_is_503() {
    let mut test_server = TestServer::of_x().await;
    let before = test_server.x().await;
    test_server.fake.kill();
    for (line, response) in ask_all(&test_server, "").await {
        if response.code == 504 {
            // The operation was in flight when the connection broke.
            assert!(!reads(&line), "{line}");
            assert!(
                response.text().contains(UNKNOWN),
                "{line}: {}",
                response.text()
            );
            continue;
        }
        let status = response.expect(503);
        assert_eq!(status["reason"], "ServiceUnavailable", "{line}");
        assert!(response.retry_after().is_some(), "{line}");
    }
    // Only reads that accept stale data are served.
    let cached = test_server
        .request("GET things/x?resourceVersion=0", "")
        .await;
    assert_eq!(cached.expect(200), before);
    // Readiness fails by now, and requests do not wait for the backend.
    let began = tokio::time::Instant::now();
    for (line, response) in ask_all(&test_server, "").await {
        assert_eq!(response.code, 503, "{line}: {}", response.text());
    }
    assert!(began.elapsed().as_secs() < 1, "{:?}", began.elapsed());
    test_server.fake.start();
    let mut read = test_server.request("GET things/x", "").await;
    while read.code != 200 {
        assert!(began.elapsed().as_secs() < 20, "{}", read.text());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        read = test_server.request("GET things/x", "").await;
    }
    // A write waits for a backend that restarts.
    test_server.fake.kill();
    let patch = test_server.start("MERGE things/x", r#"{"spec":{"size":5}}"#);
    test_server.fake.start();
    assert_eq!(patch.response().await.expect(200)["spec"]["size"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn short_client_timeout_is_honored() {
    let test_server = TestServer::of_x().await;
    test_server.fake.fault(|faults| faults.silent = true);
    let began = tokio::time::Instant::now();
    for (line, response) in ask_all(&test_server, "timeout=500ms").await {
        let status = response.expect(504);
        assert_eq!(status["reason"], "Timeout", "{line}");
    }
    // Without the timeout, a write waits 15 s for its outcome.
    assert!(began.elapsed().as_secs() < 12, "{:?}", began.elapsed());
    test_server
        .until("no call is open", |fake| fake.disk.lock().open == 0)
        .await;
    let calls = |test_server: &TestServer| {
        let disk = test_server.fake.disk.lock();
        (disk.ops, disk.revision_reads)
    };
    let before = calls(&test_server);
    test_server.fake.fault(|faults| faults.silent = false);
    assert_eq!(
        test_server.x().await["spec"]["size"],
        1,
        "nothing came later"
    );
    assert_eq!(
        calls(&test_server),
        (before.0, before.1 + 1),
        "only that read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_write_outcome_is_504() {
    let test_server = TestServer::of_x().await;
    // The object is in the cache, so that nothing needs to be read.
    test_server.x().await;
    let version = test_server.fake.revision();
    let unknown = BackendError {
        outcome: Outcome::Unknown.into(),
        ..backend_error(Reason::Internal)
    };
    test_server
        .fake
        .fault(|faults| faults.calls = Some(unknown));
    let update = thing("x", 2).replace(
        r#""name":"x""#,
        &format!(r#""name":"x","resourceVersion":"{version}""#),
    );
    let responses = tokio::join!(
        test_server.request("POST things", thing("y", 1)),
        test_server.request("PUT things/x", update),
        test_server.request("MERGE things/x", r#"{"spec":{"size":2}}"#),
        test_server.request("DELETE things/x", ""),
    );
    for response in <[TestResponse; 4]>::from(responses) {
        let status = response.expect(504);
        let message = status["message"].as_str().expect("a message");
        assert!(message.contains(UNKNOWN), "{message}");
        assert_eq!(response.retry_after(), Some("1"));
    }
}
