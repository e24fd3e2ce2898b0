//! Tests of restores of an earlier time.

use std::time::{Duration, Instant};

use backend_proto::v1::op_result::Verdict;
use conformance::{CaseContext, path_of};
use postgres_testkit::{Archive, Server};
use tokio::time::sleep;

use crate::scene::Scene;
use crate::sidecar::{DEADLINE, Sidecar};

/// The database loses a resource and assigns its id to another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_resource_is_not_confused_with_reused_id() {
    let mut archive = Archive::start(Server::builder()).await.expect("a server");
    let dsn = archive.server().create_database("ark").await.expect("made");
    archive.base_backup().await.expect("a backup");
    let scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    let point = archive.restore_point("early").await.expect("a mark");
    let (lost, other) = (scene.kind().await, scene.kind().await);
    store(&lost[0], "a/one").await;
    store(&lost[1], "a/two").await;
    archive.restore_to(&point).await.expect("a restore");
    scene.epoch_after(before.epoch).await;
    // The second sidecar may have cached the id of the lost resource.
    store(&other[0], "b/one").await;
    let start = scene.header(1).await.revision;
    store(&lost[1], "a/three").await;
    store(&lost[0], "a/four").await;
    let fresh_sidecar = Sidecar::start(&dsn).await;
    for context in [&lost[0], &lost[1], &lost[0].at(&fresh_sidecar.endpoint())] {
        assert_eq!(paths(context).await, ["a/four", "a/three"]);
        assert_eq!(seen_after(context, start).await, ["a/three", "a/four"]);
    }
    for context in &other {
        assert_eq!(paths(context).await, ["b/one"]);
    }
    fresh_sidecar.stop().await;
    scene.finish(&dsn).await;
}

async fn store(context: &CaseContext, path: &str) {
    let op = context.create(path, "a value");
    let verdict = context.client.verdict(op).await;
    assert!(matches!(verdict, Ok(Verdict::Applied(_))), "{verdict:?}");
}

/// Returns the first two changes after a revision.
async fn seen_after(context: &CaseContext, start: i64) -> Vec<String> {
    let begin = Instant::now();
    let mut stream = loop {
        let opened = context.client.try_watch(context.after(start)).await;
        match opened.expect("sound") {
            Ok(stream) => break stream,
            // The published health is polled, so it may lag.
            Err(rejected) => assert!(begin.elapsed() < DEADLINE, "{rejected}"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    let mut received = Vec::new();
    while received.len() < 2 {
        let observed = stream.next().await.expect("sound").expect("events");
        let records = observed
            .events
            .iter()
            .filter_map(|event| event.record.as_ref());
        let keys = records.filter_map(|record| record.key.as_ref());
        received.extend(keys.map(path_of));
        assert!(begin.elapsed() < DEADLINE, "{received:?}");
    }
    received
}

async fn paths(context: &CaseContext) -> Vec<String> {
    let listed = context.client.try_list(context.all(0)).await;
    let records = listed.expect("sound").expect("a list").records;
    let keys = records.iter().filter_map(|record| record.key.as_ref());
    keys.map(path_of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_restore_begins_its_own_epoch() {
    let mut archive = Archive::start(Server::builder()).await.expect("a server");
    let dsn = archive.server().create_database("ark").await.expect("made");
    archive.base_backup().await.expect("a backup");
    let scene = Scene::start(&dsn).await;
    let first = scene.header(0).await;
    let point = archive.restore_point("early").await.expect("a mark");
    let mut epochs = vec![first.epoch];
    for lost in ["lost/one", "lost/two"] {
        let revision = scene.create(0, lost).await;
        scene.writes().await;
        archive.restore_to(&point).await.expect("a restore");
        let last = *epochs.last().expect("an epoch");
        let header = scene.epoch_after(last).await;
        assert!(!scene.shows(lost).await);
        scene.history_is_gone(revision, &header).await;
        epochs.push(header.epoch);
    }
    assert_eq!(scene.observed.epochs(), epochs);
    let ends = scene.finish(&dsn).await;
    assert_eq!(ends.lists, [3, 3], "{:?}", ends.reasons);
}

/// The database is restored to before an epoch began, and no running process has observed that
/// epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epoch_is_new_even_if_no_process_remembers_the_last() {
    let mut archive = Archive::start(Server::builder()).await.expect("a server");
    let dsn = archive.server().create_database("ark").await.expect("made");
    archive.base_backup().await.expect("a backup");
    let mut scene = Scene::start(&dsn).await;
    let point = archive.restore_point("early").await.expect("a mark");
    scene.writes().await;
    for _ in 0..3 {
        let clients = scene.observed.clone();
        let mut observed = 0;
        let back = async || {
            observed = clients.newest();
            archive.restore_to(&point).await.expect("a restore");
        };
        scene.restart(&dsn, back).await;
        let header = scene.begun_above(observed).await;
        scene.history_is_gone(observed, &header).await;
    }
    scene.finish(&dsn).await;
}
