//! Durability across kills, restarts and damaged files.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, Watch};
use crate::program::{Program, command, eventually, failed_start, gone, standalone};

const NOTES: &str = "/apis/x.io/v1/namespaces/a/notes";
const SOON: Duration = Duration::from_secs(30);
const MANIFEST: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: notes.x.io}
spec:
  group: x.io
  scope: Namespaced
  names: {plural: notes, kind: Note}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {text: {type: string}}}}
";

/// A server for the kind `Note`.
fn start(directory: &Path) -> Program {
    let manifest = directory.join("notes.yaml");
    std::fs::write(&manifest, MANIFEST).unwrap();
    let manifest = manifest.to_str().unwrap();
    let arguments = ["--no-default-resources", "--resources", manifest];
    Program::start(&directory.join("data"), &arguments)
}

fn stop(program: Program) {
    program.signal(Signal::TERM);
    assert!(program.ended().0.success());
}

fn note(name: &str, text: &str) -> String {
    json!({"apiVersion": "x.io/v1", "kind": "Note", "metadata": {"name": name}, "text": text})
        .to_string()
}

async fn create(client: &Client, name: &str, text: &str) -> Value {
    let (status, body) = client.send("POST", NOTES, note(name, text)).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn list(client: &Client) -> (String, BTreeSet<String>) {
    let (status, body) = client.get(NOTES).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let list: Value = serde_json::from_str(&body).unwrap();
    let names = list["items"].as_array().unwrap().iter().map(name);
    (version(&list), names.collect())
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

fn version(object: &Value) -> String {
    let version = &object["metadata"]["resourceVersion"];
    version.as_str().unwrap().to_owned()
}

/// Type, name and version of the next event.
async fn next(watch: &mut Watch) -> (String, String, String) {
    let event = watch.event().await.unwrap();
    let object = &event["object"];
    let kind = event["type"].as_str().unwrap().to_owned();
    assert_ne!(kind, "ERROR", "{object}");
    (kind, name(object), version(object))
}

#[tokio::test]
async fn flipped_byte_is_reported_as_error_not_missing_object() {
    let directory = tempfile::tempdir().unwrap();
    let program = start(directory.path());
    let admin = program.admin();
    create(&admin, "good", "nothing happens to this").await;
    create(&admin, "bad", "a byte of this is flipped").await;
    stop(program);

    let database = directory.path().join("data/ark.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let found = memchr::memmem::find_iter(&bytes, "a byte of this is flipped");
    let found: Vec<usize> = found.collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at] ^= 1;
    }
    std::fs::write(&database, bytes).unwrap();

    let program = start(directory.path());
    let admin = program.admin();
    assert!(
        admin.is_ready().await,
        "one object is no reason to serve none"
    );
    let bad = format!("{NOTES}/bad");
    for path in [
        NOTES,
        &bad,
        &format!("{NOTES}?watch=1"),
        &format!("{NOTES}?limit=1"),
    ] {
        let (status, body) = admin.get(path).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}: {body}");
        let reason: Value = serde_json::from_str(&body).unwrap();
        let message = reason["message"].as_str().unwrap();
        assert!(
            message.contains("a/bad of notes.x.io cannot be read"),
            "{message}"
        );
        assert!(message.contains("fails its checksum"), "{message}");
    }
    let (status, body) = admin.get(&format!("{NOTES}/good")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    create(&admin, "new", "written all the same").await;
    let (status, body) = admin.send("DELETE", &bad, "").await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    let whole = BTreeSet::from(["good".to_owned(), "new".to_owned()]);
    assert_eq!(list(&admin).await.1, whole);
    stop(program);
    let program = start(directory.path());
    assert_eq!(list(&program.admin()).await.1, whole);
}

#[tokio::test]
async fn damaged_page_fails_startup_with_message() {
    let directory = tempfile::tempdir().unwrap();
    let program = start(directory.path());
    let admin = program.admin();
    for number in 0..60 {
        create(&admin, &format!("n{number}"), &"v".repeat(3000)).await;
    }
    stop(program);
    let database = directory.path().join("data/ark.db");
    let mut bytes = std::fs::read(&database).unwrap();
    // The last values, not the header that identifies the database.
    let sound = bytes.len() / 4096 / 2;
    for page in bytes.chunks_mut(4096).skip(sound) {
        page[..100].fill(0xff);
    }
    std::fs::write(&database, bytes).unwrap();

    let manifest = directory.path().join("notes.yaml");
    let manifest = manifest.to_str().unwrap();
    let arguments = ["--no-default-resources", "--resources", manifest];
    // A damaged page must be reported before the startup timeout.
    let mut command = standalone(command(&[]), &directory.path().join("data"));
    command.args(arguments);
    let failure = failed_start(command);
    assert!(!failure.status.success());
    let last = failure.stderr.lines().last().unwrap();
    for part in ["error: ", "ark.db is damaged", "restore a backup"] {
        assert!(last.contains(part), "{last}");
    }
}

#[tokio::test]
async fn watch_resumes_from_bookmark_after_restart() {
    let directory = tempfile::tempdir().unwrap();
    let program = start(directory.path());
    let admin = program.admin();
    create(&admin, "first", "").await;
    let (from, _) = list(&admin).await;
    let mut watch = admin
        .watch(&format!("{NOTES}?watch=1&resourceVersion={from}"))
        .await;
    let second = version(&create(&admin, "second", "").await);
    assert_eq!(
        next(&mut watch).await,
        ("ADDED".into(), "second".into(), second.clone())
    );
    // The following changes happen while no watch is open.
    drop(watch);
    let third = version(&create(&admin, "third", "").await);
    let patch = |text: &str| json!({"metadata": {"labels": {"a": text}}}).to_string();
    let path = format!("{NOTES}/first");
    let (status, body) = admin.send("MERGE", &path, patch("b")).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    let patched: Value = serde_json::from_str(&body).unwrap();
    let (status, _) = admin
        .send("DELETE", &format!("{NOTES}/second"), "")
        .await
        .unwrap();
    assert_eq!(status, StatusCode::OK);
    let (before, _) = list(&admin).await;
    stop(program);

    let program = start(directory.path());
    let admin = program.admin();
    assert_eq!(list(&admin).await.0, before, "a restart is no change");
    let mut watch = admin
        .watch(&format!("{NOTES}?watch=1&resourceVersion={second}"))
        .await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next(&mut watch).await);
    }
    let fourth = version(&create(&admin, "fourth", "").await);
    seen.push(next(&mut watch).await);
    let expected = [
        ("ADDED".to_owned(), "third".to_owned(), third),
        ("MODIFIED".to_owned(), "first".to_owned(), version(&patched)),
        ("DELETED".to_owned(), "second".to_owned(), before),
        ("ADDED".to_owned(), "fourth".to_owned(), fourth),
    ];
    assert_eq!(seen, expected, "each once, in order, and nothing else");
}

/// Writers that create notes until they are stopped.
#[derive(Default)]
struct Writers {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Writers {
    fn start(self: &Arc<Self>, client: &Client) -> JoinSet<Vec<String>> {
        let writers = 0..4;
        writers
            .map(|writer| Arc::clone(self).write(client.clone(), writer))
            .collect()
    }

    /// Names of the acknowledged notes.
    async fn write(self: Arc<Self>, client: Client, writer: usize) -> Vec<String> {
        let mut written = Vec::new();
        for at in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("w{writer}-{at}");
            let response = client.send("POST", NOTES, note(&name, "")).await;
            if let Some((StatusCode::CREATED, _)) = response {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                written.push(name);
            }
        }
        written
    }

    async fn until_some_more(&self) {
        let count = || self.acknowledged.load(Ordering::Relaxed);
        let enough = count() + 20;
        eventually("some more are written", SOON, async || count() >= enough).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_driver_loses_no_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let program = start(directory.path());
    let admin = program.admin();
    let (from, _) = list(&admin).await;
    let mut watch = admin
        .watch(&format!("{NOTES}?watch=1&resourceVersion={from}"))
        .await;
    let writers = Arc::new(Writers::default());
    let writing = writers.start(&admin);
    for _ in 0..2 {
        writers.until_some_more().await;
        let killed = program.driver();
        kill_process(killed, Signal::KILL).unwrap();
        gone(killed).await;
    }
    writers.until_some_more().await;
    writers.stop.store(true, Ordering::Relaxed);
    let acknowledged: BTreeSet<String> = writing.join_all().await.into_iter().flatten().collect();
    let (_, stored) = list(&admin).await;
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{lost:?}");

    let (mut seen, mut last) = (BTreeSet::new(), from.parse::<u64>().unwrap());
    while seen.len() < stored.len() {
        let (kind, name, version) = next(&mut watch).await;
        let version = version.parse::<u64>().unwrap();
        assert!(version > last, "{name} at {version} after {last}");
        assert_eq!(kind, "ADDED");
        assert!(seen.insert(name), "delivered twice");
        last = version;
    }
    assert_eq!(seen, stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_completes_requests_in_flight() {
    let directory = tempfile::tempdir().unwrap();
    let program = start(directory.path());
    let admin = program.admin();
    create(&admin, "before", "").await;
    let (from, _) = list(&admin).await;
    let mut watch = admin
        .watch(&format!("{NOTES}?watch=1&resourceVersion={from}"))
        .await;
    let driver = program.driver();
    kill_process(driver, Signal::STOP).unwrap();
    let mut taken = JoinSet::new();
    let client = admin.clone();
    taken.spawn(async move { client.send("POST", NOTES, note("taken", "")).await });
    let in_flight = "apiserver_current_inflight_requests{request_kind=\"mutating\"} 1\n";
    eventually("it is under way", SOON, async || {
        admin.get("/metrics").await.1.contains(in_flight)
    })
    .await;
    program.signal(Signal::TERM);
    assert!(
        watch.event().await.is_none(),
        "a watch ends, without an error"
    );
    kill_process(driver, Signal::CONT).unwrap();
    let (status, body) = taken.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert!(program.ended().0.success());
    let program = start(directory.path());
    let both = BTreeSet::from(["before".to_owned(), "taken".to_owned()]);
    assert_eq!(list(&program.admin()).await.1, both);
}
