//! Memory cost of clients that do not read or do not send.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::program::{DEADLINE, Program, eventually};

const QUERIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";
/// Memory that hostile clients may cost beyond the objects, bytes (docs/operating.md, limits).
const MAX_COST: usize = 256 << 20;
/// Memory of a server without objects, with all kinds and controllers, bytes.
const MAX_IDLE: usize = 40 << 20;

fn query(name: &str, bytes: usize) -> Bytes {
    let input = "x".repeat(bytes);
    let query = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1", "kind": "Query",
        "metadata": {"name": name}, "spec": {"input": input},
    });
    query.to_string().into()
}

#[tokio::test]
async fn idle_server_needs_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let resident = program.resident();
    println!("{} MiB", resident >> 20);
    assert!(resident < MAX_IDLE, "{resident}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_streams_cost_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let created = admin.send("POST", QUERIES, query("large", 1_500_000)).await;
    assert_eq!(created.unwrap().0, StatusCode::CREATED);
    let quiet = program.resident();
    let stream = admin.connect_http2().await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    for query in [
        "",
        "?pretty=true",
        "/large",
        "/large?pretty=true",
        "?watch=1",
    ] {
        let mut held = Vec::new();
        // Slightly less than the stream limit of a connection.
        for _ in 0..240 {
            let path = match query.strip_prefix("/large") {
                Some(query) => format!("https://x{QUERIES}/large{query}"),
                None => format!("https://x{QUERIES}{query}"),
            };
            let mut sender = sender.clone().ready().await.unwrap();
            let request = Request::get(path).body(()).unwrap();
            held.push(sender.send_request(request, true).unwrap().0);
        }
        let mut responses = Vec::new();
        for response in held {
            let response = tokio::time::timeout(DEADLINE, response).await.unwrap();
            let response = response.unwrap();
            let status = response.status().as_u16();
            assert!(matches!(status, 200 | 429), "{query}: {status}");
            responses.push(response);
        }
        let cost = program.resident().saturating_sub(quiet);
        println!("{query}: {} MiB", cost >> 20);
        assert!(cost < MAX_COST, "{query}: {cost}");
        let small = admin.send("POST", QUERIES, query_named(query)).await;
        assert_eq!(small.unwrap().0, StatusCode::CREATED, "others are served");
        drop(responses);
    }
}

/// A small object with a name of its own.
fn query_named(after: &str) -> Bytes {
    let name: String = after.chars().filter(char::is_ascii_alphanumeric).collect();
    query(&format!("small{name}"), 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_cost_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let quiet = program.resident();
    let mut uploads = JoinSet::new();
    for at in 0..200 {
        let admin = admin.clone();
        uploads.spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            let mut stream = admin.connect().await.unwrap();
            let body = query(&format!("upload{at}"), 3_000_000);
            let head = format!(
                "POST {QUERIES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len() + 1
            );
            // All but the last byte. The server may reject and close at any time.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
            let _ = stream.flush().await;
            stream
        });
    }
    let held = uploads.join_all().await;
    let cost = program.resident().saturating_sub(quiet);
    println!("{} uploads: {} MiB", held.len(), cost >> 20);
    assert!(cost < MAX_COST, "{cost}");
    let small = admin.send("POST", QUERIES, query("small", 10)).await;
    assert_eq!(small.unwrap().0, StatusCode::CREATED, "small ones pass");
    drop(held);
    eventually("there is room again", DEADLINE, async || {
        let again = admin.send("POST", QUERIES, query("again", 2_000_000)).await;
        again
            .is_some_and(|(status, _)| matches!(status, StatusCode::CREATED | StatusCode::CONFLICT))
    })
    .await;
}
