//! Tests of stores that are restarted, restored or copied without a promotion.

use std::path::Path;
use std::process::Command;

use backend_postgres::{Options, migrate};
use backend_proto::v1::backend_error::Reason;
use postgres_testkit::{Programs, Proxy, Server, Stop};

use crate::scene::{Scene, reason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashed_server_keeps_its_epoch() {
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
    assert_eq!(scene.observed.epochs(), [before.epoch]);
    let ends = scene.finish(&dsn).await;
    assert_eq!(ends.lists, [1, 1], "{:?}", ends.reasons);
}

/// Restores a copy of the data directory: the timeline is the same, but the sidecars observed newer
/// revisions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_disk_snapshot_begins_an_epoch() {
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
    assert_eq!(scene.observed.epochs(), [before.epoch, header.epoch]);
    scene.finish(&dsn).await;
}

/// Restores a dump in another cluster. The dump may be of any age.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dump_restored_in_another_cluster_begins_an_epoch() {
    let mut server = Server::builder().start().await.expect("a server");
    let database = server.create_database("ark").await.expect("made");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let dsn = proxy.dsn(&database);
    let scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    let other = Server::builder().unique().start().await.expect("another");
    let copy = other.create_database("ark").await.expect("made");
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("dump");
    dump(&database, &file).await;
    load(&file, &copy).await;
    let lost = scene.create(0, "lost/one").await;
    server.kill9().await.expect("a crash");
    proxy.move_to(other.address());
    let header = scene.epoch_after(before.epoch).await;
    assert!(!scene.shows("lost/one").await);
    scene.history_is_gone(lost, &header).await;
    assert_eq!(scene.observed.epochs(), [before.epoch, header.epoch]);
    scene.finish(&dsn).await;
}

/// Restores a dump in its own database: only the tables have other OIDs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dump_restored_in_same_database_begins_an_epoch() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("made");
    let mut scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("dump");
    dump(&dsn, &file).await;
    scene.create(0, "lost/one").await;
    scene.writes().await;
    let clients = scene.observed.clone();
    let mut observed = 0;
    // All sidecars restart, so none has observed the lost revisions.
    let again = async || {
        observed = clients.newest();
        let drop = "drop schema ark cascade";
        server.execute("ark", drop).await.expect("dropped");
        load(&file, &dsn).await;
    };
    scene.restart(&dsn, again).await;
    let header = scene.epoch_after(before.epoch).await;
    assert!(!scene.shows("lost/one").await);
    scene.history_is_gone(observed, &header).await;
    assert_eq!(scene.observed.epochs(), [before.epoch, header.epoch]);
    scene.finish(&dsn).await;
}

/// An operator may end an epoch for reasons that the sidecars cannot detect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requested_epoch_begins_under_load() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("made");
    let scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    let stored = scene.create(0, "kept/one").await;
    let context = &scene.contexts[1];
    let opened = context
        .client
        .try_watch(context.after(before.revision))
        .await;
    let mut watch = opened.expect("sound").expect("a watch");
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let epoch = migrate::new_epoch(&options).await.expect("an epoch");
    let header = scene.epoch_after(before.epoch).await;
    assert_eq!(header.epoch, epoch);
    let end = loop {
        if let Err(end) = watch.next().await.expect("sound") {
            break end;
        }
    };
    assert_eq!(reason(&end), Reason::EpochChanged, "{end}");
    assert!(scene.shows("kept/one").await);
    scene.history_is_gone(stored, &header).await;
    assert_eq!(scene.observed.epochs(), [before.epoch, header.epoch]);
    scene.finish(&dsn).await;
}

/// Dumps a database into a file.
async fn dump(database: &str, file: &Path) {
    let programs = Programs::find().await.expect("programs");
    let program = programs.path("pg_dump").expect("pg_dump");
    let (program, file) = (program.display(), file.display());
    shell(&format!("'{program}' -f '{file}' '{database}'"));
}

/// Restores a dump into a database.
async fn load(file: &Path, database: &str) {
    let programs = Programs::find().await.expect("programs");
    let program = programs.path("psql").expect("psql");
    let (program, file) = (program.display(), file.display());
    let quietly = "-q -o /dev/null -v ON_ERROR_STOP=1";
    shell(&format!("'{program}' {quietly} -f '{file}' '{database}'"));
}

fn shell(script: &str) {
    let status = Command::new("sh").args(["-c", script]).status();
    assert!(status.expect("a shell").success(), "{script}");
}
