//! Failover and loss of contact with the database, as observed by API clients.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use kube_http::Kubeconfig;
use postgres_testkit::{Mode, Pair, Proxy, Server};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use workload::{
    AfterUnknown, Epochs, Fixed, Options, Pace, Routing, Script, Step, Tolerance, Workload,
};

use crate::client::Client;
use crate::program::{DEADLINE, eventually, on_postgres};

const QUERIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";

/// Longest time until a server without storage is not ready. The promised 5 s are checked as the
/// sum of the timeouts in `store/phase.rs`; this limit leaves room for a busy machine.
const MAX_DETECTION_LATENCY: Duration = Duration::from_secs(15);
const GREEN: Duration = Duration::from_secs(20);
/// Longest wait of a read for its error. A write additionally waits for its outcome.
const READ: Duration = Duration::from_secs(12);
const WRITE: Duration = Duration::from_secs(25);

/// A new epoch starts at 4096 times the clock in milliseconds: farther above the last epoch's
/// newest revision than the number of revisions that these tests write.
const EPOCH_GAP: u64 = 1 << 17;

fn query(name: &str, input: &str) -> String {
    json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": name},
        "spec": {"input": input, "target": {"type": "agent", "name": "a"}},
    })
    .to_string()
}

/// Creates an object and returns its resource version.
async fn create(client: &Client, name: &str) -> u64 {
    let body = query(name, "What is kept?");
    let (status, body) = client.send("POST", QUERIES, body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{body}");
    version(&serde_json::from_str(&body).unwrap())
}

fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str().unwrap();
    version.parse().unwrap()
}

/// The whole list, once it is available.
async fn list(client: &Client) -> Value {
    let begin = Instant::now();
    loop {
        let (status, body) = client.get(QUERIES).await;
        if status == StatusCode::OK {
            return serde_json::from_str(&body).unwrap();
        }
        assert!(begin.elapsed() < DEADLINE, "{status} {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts a writer of four objects, which reads them after any error, and a watcher with a local
/// copy, as controllers have.
async fn load(data: &Path) -> Workload {
    let kubeconfig = Kubeconfig::load(&data.join("kubeconfig")).unwrap();
    let settings = workload::http::Settings {
        namespace: "default".to_owned(),
        filler: 16,
        watch_timeout: Duration::from_secs(60),
    };
    let client = kube_http::Client::new(&kubeconfig, true).unwrap();
    let client = workload::http::Client::new(client, settings);
    let options = Options {
        writers: vec![Script::own("kept-", 0, 4, LIFE)],
        pace: Some(Pace {
            interval: Duration::from_millis(10),
            missed: MissedTickBehavior::Delay,
        }),
        watchers: 1,
        from_every_revision: false,
        readers: None,
        after_unknown: AfterUnknown::Read,
        tolerance: Tolerance::COMMITS_ARE_LOST,
        routing: Routing::Pinned,
        max_pause: Duration::from_millis(50),
        epochs: Epochs::Gap(EPOCH_GAP),
        drain: DEADLINE,
    };
    let servers = Arc::new(Fixed::new(vec![Arc::new(client)]));
    Workload::start(servers, options).await.unwrap()
}

/// Life of an object after its creation.
const LIFE: &[Step] = &[Step::Replace, Step::Patch, Step::Patch, Step::Delete];

/// Asserts that a watch from a lost version expires, at once or in its first event.
async fn is_expired(client: &Client, version: u64) {
    let path = format!("{QUERIES}?watch=true&resourceVersion={version}");
    match client.try_watch(&path).await.unwrap() {
        Ok(mut watch) => {
            let event = watch.event().await.unwrap();
            assert_eq!(event["type"], "ERROR", "{event}");
            assert_eq!(event["object"]["code"], 410, "{event}");
            assert_eq!(event["object"]["reason"], "Expired", "{event}");
        }
        Err(status) => assert_eq!(status, StatusCode::GONE),
    }
    let path = format!("{QUERIES}?resourceVersion={version}&resourceVersionMatch=Exact");
    let (status, body) = client.get(&path).await;
    assert_eq!(status, StatusCode::GONE, "{body}");
    assert!(body.contains("Expired"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_relist_after_failover_and_miss_no_change() {
    let mut pair = Pair::start(Server::builder()).await.unwrap();
    let database = pair.primary().create_database("ark").await.unwrap();
    let proxy = Proxy::start(pair.primary().address()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let program = on_postgres(&proxy.dsn(&database), directory.path());
    let admin = program.admin();
    let load = load(directory.path()).await;
    load.ledger().expect_foreign("lost");
    load.progress(50, DEADLINE).await.unwrap();
    let old = version(&list(&admin).await);
    let mut watch = admin
        .watch(&format!("{QUERIES}?watch=true&resourceVersion={old}"))
        .await;
    pair.caught_up().await.unwrap();
    pair.cut_replication().await.unwrap();
    let lost = create(&admin, "lost").await;
    load.progress(50, DEADLINE).await.unwrap();
    pair.kill_primary().await.unwrap();
    pair.promote().await.unwrap();
    proxy.move_to(pair.standby().address());

    let new_epoch = || load.newest_acknowledged().get() > lost + EPOCH_GAP;
    let written = load.until("no write in a new epoch", DEADLINE, new_epoch);
    written.await.unwrap();
    eventually("ready", GREEN, async || admin.is_ready().await).await;
    is_expired(&admin, old).await;
    is_expired(&admin, lost).await;
    // An open watch delivers its events and then the same error, or its end.
    while let Some(event) = watch.event().await {
        if event["type"] == "ERROR" {
            assert_eq!(event["object"]["code"], 410, "{event}");
            break;
        }
        let at = version(&event["object"]);
        assert!(at < old + EPOCH_GAP, "{at} in a watch from {old}");
    }
    let (status, body) = admin.get(&format!("{QUERIES}/lost")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    create(&admin, "lost").await;
    load.progress(50, DEADLINE).await.unwrap();
    let (verdict, history) = load.finish(&[]).await.unwrap();
    assert!(verdict.is_clean(), "{verdict}");
    // One list at the start, one after the fail-over.
    assert_eq!(history.watches[0].segments.len(), 2);
}

/// Asserts that a request is rejected with 503 or 504 and `Retry-After` within `limit`.
async fn rejected(client: &Client, method: &str, path: &str, body: &str, limit: Duration) {
    let content = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", content);
    let begin = Instant::now();
    let response = client.respond(request, body.to_owned().into()).await;
    let (took, response) = (begin.elapsed(), response.unwrap());
    let shown = format!("{method} {path}: {} {}", response.status(), response.body());
    let status = response.status().as_u16();
    assert!([503, 504].contains(&status), "{shown}");
    assert!(response.headers().contains_key("retry-after"), "{shown}");
    assert!(took < limit, "{took:?} for {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_database_is_503_or_504_within_deadline() {
    let server = Server::builder().start().await.unwrap();
    let database = server.create_database("ark").await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let program = on_postgres(&proxy.dsn(&database), directory.path());
    let admin = program.admin();
    create(&admin, "kept").await;
    let kept = format!("{QUERIES}/kept");
    let none = format!("{QUERIES}/none");
    let patch = r#"{"spec":{"input":"another"}}"#;
    let new = query("new", "an input");

    proxy.set(Mode::Hang).await.unwrap();
    let hole = Instant::now();
    let not_ready = eventually("not ready", MAX_DETECTION_LATENCY, async || {
        !admin.is_ready().await
    });
    let reads = async {
        while hole.elapsed() < Duration::from_secs(9) {
            tokio::join!(
                rejected(&admin, "GET", &kept, "", READ),
                rejected(&admin, "GET", QUERIES, "", READ),
                rejected(&admin, "GET", &none, "", READ),
            );
        }
    };
    let writes = async {
        tokio::join!(
            rejected(&admin, "PATCH", &kept, patch, WRITE),
            rejected(&admin, "POST", QUERIES, &new, WRITE),
            rejected(&admin, "DELETE", &kept, "", WRITE),
        )
    };
    tokio::join!(not_ready, reads, writes);
    assert!(!admin.is_ready().await);
    let (status, _) = admin.get("/livez").await;
    assert_eq!(status, StatusCode::OK);

    proxy.set(Mode::Forward).await.unwrap();
    eventually("ready again", GREEN, async || admin.is_ready().await).await;
    list(&admin).await;
    create(&admin, "after").await;
    let (status, _) = admin.get(&format!("{QUERIES}/after")).await;
    assert_eq!(status, StatusCode::OK);
}
