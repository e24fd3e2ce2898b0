//! Tests of point-in-time recovery.

use postgres_testkit::{Archive, Server, Session, Target};

use crate::{insert, make_table, numbers};

async fn shows(archive: &Archive, dsn: &str, expected: &str) {
    assert_eq!(
        archive.server().dsn("postgres"),
        dsn,
        "clients find it where it was"
    );
    let session = Session::connect(dsn).await.expect("a session");
    assert_eq!(numbers(&session).await, expected);
}

#[tokio::test]
async fn server_is_restored_to_points_and_times() {
    let mut archive = Archive::start(Server::builder()).await.expect("a server");
    let dsn = archive.server().dsn("postgres");
    let session = Session::connect(&dsn).await.expect("a session");
    make_table(&session).await;
    let early = archive.restore_to(&Target::Latest).await;
    assert!(early.is_err(), "there is no backup");
    archive.base_backup().await.expect("a backup");
    insert(&session, 1).await;
    let time = archive.clock().await.expect("a time");
    insert(&session, 2).await;
    let point = archive.restore_point("here").await.expect("a point");
    insert(&session, 3).await;

    archive.restore_to(&point).await.expect("a restore");
    assert!(
        session.text("select 1").await.is_err(),
        "its client lost it"
    );
    shows(&archive, &dsn, "1 2").await;
    archive.restore_to(&time).await.expect("a restore");
    shows(&archive, &dsn, "1").await;
}

#[tokio::test]
async fn killed_server_loses_no_commit_in_recovery() {
    let mut archive = Archive::start(Server::builder()).await.expect("a server");
    let dsn = archive.server().dsn("postgres");
    archive.base_backup().await.expect("a backup");
    let session = Session::connect(&dsn).await.expect("a session");
    make_table(&session).await;
    insert(&session, 1).await;
    archive.server_mut().kill9().await.expect("a crash");
    archive
        .restore_to(&Target::Latest)
        .await
        .expect("a restore");
    shows(&archive, &dsn, "1").await;

    // Continue with a new backup and a regular restart.
    archive.base_backup().await.expect("a backup");
    let session = Session::connect(&dsn).await.expect("a session");
    insert(&session, 2).await;
    let point = archive.restore_point("later").await.expect("a point");
    insert(&session, 3).await;
    archive.restore_to(&point).await.expect("a restore");
    shows(&archive, &dsn, "1 2").await;
}
