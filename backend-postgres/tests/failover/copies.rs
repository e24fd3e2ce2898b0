//! A store that is started again, or put back, or copied, without a promotion.

use std::process::Command;

use postgres_testkit::{Programs, Proxy, Server, Stop};

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_and_comes_back_stays_in_its_epoch() {
    let mut server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("made");
    let scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    server.kill9().await.expect("a crash");
    server.start_again().await.expect("a start");
    scene.writes().await;
    server.stop(Stop::Fast).await.expect("a stop");
    server.start_again().await.expect("a start");
    scene.writes().await;
    assert_eq!(scene.ledger.epochs(), [before.epoch]);
    let ends = scene.finish(&dsn).await;
    assert_eq!(ends.lists, [1, 1], "{:?}", ends.reasons);
}

/// A copy of the data directory is put back: the server is on the timeline it always was, but a
/// sidecar remembers more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_put_back_begins_an_epoch() {
    let mut server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("made");
    let scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    let data = server.data().display().to_string();
    server.stop(Stop::Fast).await.expect("a stop");
    shell(&format!("cp -a '{data}' '{data}.copy'"));
    server.start_again().await.expect("a start");
    scene.writes().await;
    let lost = scene.create(0, "lost/one").await;
    scene.writes().await;
    server.kill9().await.expect("a crash");
    shell(&format!("rm -rf '{data}' && mv '{data}.copy' '{data}'"));
    server.start_again().await.expect("a start");
    let header = scene.epoch_after(before.epoch).await;
    assert!(!scene.shows("lost/one").await);
    scene.history_is_gone(lost, &header).await;
    assert_eq!(scene.ledger.epochs(), [before.epoch, header.epoch]);
    scene.finish(&dsn).await;
}

/// A dump that is read into another cluster may be of any age.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_in_another_cluster_begins_an_epoch() {
    let mut server = Server::builder().start().await.expect("a server");
    let database = server.create_database("ark").await.expect("made");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let dsn = proxy.dsn(&database);
    let scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    let other = Server::builder().unique().start().await.expect("another");
    let copy = other.create_database("ark").await.expect("made");
    let programs = Programs::find().await.expect("programs");
    let (dump, load) = (programs.path("pg_dump"), programs.path("psql"));
    let (Ok(dump), Ok(load)) = (dump, load) else {
        panic!("pg_dump and psql belong to an installation");
    };
    shell(&format!(
        "'{}' '{database}' | '{}' -q -o /dev/null -v ON_ERROR_STOP=1 '{copy}'",
        dump.display(),
        load.display()
    ));
    let lost = scene.create(0, "lost/one").await;
    server.kill9().await.expect("a crash");
    proxy.move_to(other.address());
    let header = scene.epoch_after(before.epoch).await;
    assert!(!scene.shows("lost/one").await);
    scene.history_is_gone(lost, &header).await;
    assert_eq!(scene.ledger.epochs(), [before.epoch, header.epoch]);
    scene.finish(&dsn).await;
}

fn shell(script: &str) {
    let status = Command::new("sh").args(["-c", script]).status();
    assert!(status.expect("a shell").success(), "{script}");
}
