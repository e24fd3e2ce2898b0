//! Cost of lists, tables and watches without sockets and TLS: `cargo run --release -p gateway
//! --example reads`.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../tests/it/fake.rs"]
#[expect(dead_code, reason = "it can do more than is needed here")]
mod fake;
#[path = "../tests/it/flags.rs"]
mod flags;
#[path = "../tests/it/in_process.rs"]
#[expect(dead_code, reason = "it can do more than is needed here")]
mod in_process;
#[path = "../tests/it/reads/server.rs"]
#[expect(dead_code, reason = "it can do more than is needed here")]
mod server;

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::time::Instant;

use crate::server::TestServer;

const OBJECTS: u32 = 10_000;
const WATCHERS: u32 = 200;
const CHANGES: u32 = 200;
const TABLE: &str = "table";
const PROTOBUF: &str =
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = TestServer::new().await;
    server
        .fake
        .put((0..OBJECTS).map(|at| (key(at), thing(at, 0))));
    let (bytes, took) = list(&server, "things", "").await;
    assert!(bytes > OBJECTS as usize * 2000, "a short list");
    report("first list", took, OBJECTS);
    for (what, url, accept) in [
        ("list", "things", ""),
        ("list in another version", OLD, ""),
        ("table, rows not made yet", "things", TABLE),
        ("table", "things", TABLE),
        ("metadata", "things", PARTIAL),
        ("metadata as protobuf", "things", PROTOBUF),
        ("list, compressed", "things", "*/*|Accept-Encoding: gzip"),
        ("list as YAML", "things", "application/yaml"),
    ] {
        let took = if what.contains("not made") {
            list(&server, url, accept).await.1
        } else {
            best(&server, url, accept).await
        };
        report(what, took, OBJECTS);
    }
    report("page", best(&server, "things?limit=500", "").await, 500);
    report(
        "page, table",
        best(&server, "things?limit=500", TABLE).await,
        500,
    );
    let filtered = "things?limit=500&labelSelector=odd=1";
    report("page, filtered", best(&server, filtered, "").await, 500);
    watch(&server).await;
}

const OLD: &str = "/apis/example.com/v1beta1/namespaces/a/things";

/// Existing objects when a watch starts, then changes that many watchers read.
async fn watch(server: &TestServer) {
    let began = Instant::now();
    let mut body = follow(server, "watch=1").await;
    read(&mut body, OBJECTS).await;
    report("initial event", began.elapsed(), OBJECTS);
    let mut bodies = vec![body];
    let version = "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    while bodies.len() < WATCHERS as usize {
        bodies.push(follow(server, version).await);
    }
    let mut took = Duration::ZERO;
    for change in 0..CHANGES {
        server.fake.put([(key(change), thing(change, change + 1))]);
        // The first reader waits for the backend; the others find the encoded line.
        read(&mut bodies[0], 1).await;
        let began = Instant::now();
        for body in &mut bodies[1..] {
            read(body, 1).await;
        }
        took += began.elapsed();
    }
    report("event, per watcher", took, CHANGES * (WATCHERS - 1));
}

async fn follow(server: &TestServer, query: &str) -> Body {
    let request = format!("GET things?{query}");
    server.request(&request, "").await.into_body()
}

/// Reads this many lines.
async fn read(body: &mut Body, lines: u32) {
    let mut seen = 0;
    while seen < lines {
        let frame = body.frame().await.expect("not ended").expect("no error");
        let data = frame.into_data().expect("no trailers");
        seen += u32::try_from(data.iter().filter(|byte| **byte == b'\n').count()).expect("few");
    }
}

async fn best(server: &TestServer, url: &str, accept: &str) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(list(server, url, accept).await.1);
    }
    best
}

/// Reads a whole list; returns its size and duration.
async fn list(server: &TestServer, url: &str, accept: &str) -> (usize, Duration) {
    let began = Instant::now();
    let mut body = server
        .request(&format!("GET {url}"), accept)
        .await
        .into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame
            .expect("no error")
            .into_data()
            .expect("no trailers")
            .len();
    }
    (bytes, began.elapsed())
}

fn report(what: &str, took: Duration, objects: u32) {
    let each = took / objects;
    println!("{what}: {took:.1?}, {each:.2?} each of {objects}");
}

fn key(at: u32) -> String {
    format!("a/t{at:05}")
}

/// A value of about 2.6 KiB.
fn thing(at: u32, size: u32) -> Vec<u8> {
    let parts: Vec<_> = (0..30)
        .map(|part| json!({"name": format!("part-{part}"), "count": part, "text": "forty characters of text, more or less"}))
        .collect();
    kube_json::to_vec(&json!({
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {
            "name": format!("t{at:05}"), "namespace": "a", "generation": 1,
            "uid": format!("3f1c9a52-7c1e-4a7e-9d0b-0000000{at:05}"),
            "creationTimestamp": "2024-01-01T00:00:00Z",
            "labels": {"app.kubernetes.io/name": "thing", "odd": (at % 2).to_string()},
            "annotations": {"example.com/note": "some words that nobody reads again"},
        },
        "spec": {"size": size, "color": "red", "parts": parts},
        "status": {"replicas": 1, "conditions": [{"type": "Ready", "status": "True"}]},
    }))
}
