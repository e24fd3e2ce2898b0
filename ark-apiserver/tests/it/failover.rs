//! Failover and loss of contact with the database, as observed by API clients.

mod informer;

use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use postgres_testkit::{Mode, Pair, Proxy, Server};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::program::{DEADLINE, eventually, on_postgres};
use informer::{EPOCH_GAP, Informer, ObservedVersions};

const QUERIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";

/// Longest time until a server without storage is not ready. The promised 5 s are checked as the
/// sum of the timeouts in `store/phase.rs`; this limit leaves room for a busy machine.
const MAX_DETECTION_LATENCY: Duration = Duration::from_secs(15);
const GREEN: Duration = Duration::from_secs(20);
/// Longest wait of a read for its error. A write additionally waits for its outcome.
const READ: Duration = Duration::from_secs(12);
const WRITE: Duration = Duration::from_secs(25);

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

/// Patches some objects in turn, regardless of the responses; acknowledged versions go to
/// `observed`.
async fn write(client: Client, observed: ObservedVersions, stop: CancellationToken) {
    let mut number = 0;
    while !stop.is_cancelled() {
        let path = format!("{QUERIES}/kept-{}", number % 4);
        let body = json!({"spec": {"input": format!("input {number}")}});
        if let Some((status, body)) = client.send("MERGE", &path, body.to_string()).await {
            match status.as_u16() {
                200 => observed.acknowledged(&serde_json::from_str(&body).unwrap()),
                429 | 503 | 504 => {}
                _ => observed.problem(format!("a patch: {status} {body}")),
            }
        }
        number += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

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
    for number in 0..4 {
        create(&admin, &format!("kept-{number}")).await;
    }
    let observed = ObservedVersions::default();
    let stop = CancellationToken::new();
    let informer = Informer::new(&admin, QUERIES, &observed);
    let (mut informers, mut writers) = (JoinSet::new(), JoinSet::new());
    informers.spawn(informer.run(stop.clone()));
    writers.spawn(write(admin.clone(), observed.clone(), stop.clone()));
    observed.more(50).await;
    let old = version(&list(&admin).await);
    let mut watch = admin
        .watch(&format!("{QUERIES}?watch=true&resourceVersion={old}"))
        .await;
    pair.caught_up().await.unwrap();
    pair.cut_replication().await.unwrap();
    let lost = create(&admin, "lost").await;
    observed.more(50).await;
    pair.kill_primary().await.unwrap();
    pair.promote().await.unwrap();
    proxy.move_to(pair.standby().address());

    observed.epoch_after(lost).await;
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
    observed.more(50).await;
    stop.cancel();
    writers.join_all().await;
    let listed = list(&admin).await;
    observed.check(version(&listed));
    let informer = informers.join_next().await.unwrap().unwrap();
    informer.matches(&admin, &listed).await;
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
