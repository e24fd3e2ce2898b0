//! Tests of a primary and a standby.

use postgres_testkit::{Pair, Server, Session};

use crate::{insert, make_table, numbers};

#[tokio::test]
async fn commits_after_replication_cut_are_lost() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    let primary = Session::connect(&pair.dsn("postgres"))
        .await
        .expect("a session");
    make_table(&primary).await;
    insert(&primary, 1).await;
    pair.caught_up().await.expect("the standby has it");
    let standby = pair.standby().session("postgres").await.expect("a session");
    assert_eq!(numbers(&standby).await, "1");
    assert!(
        standby
            .batch_execute("insert into t values (9)")
            .await
            .is_err(),
        "it only reads"
    );

    pair.cut_replication().await.expect("a cut");
    insert(&primary, 2).await;
    pair.restore_replication().await.expect("a link");
    assert_eq!(numbers(&standby).await, "1 2");

    pair.cut_replication().await.expect("a cut");
    insert(&primary, 3).await;
    pair.kill_primary().await.expect("a crash");
    pair.promote().await.expect("a promotion");
    let moved = Session::connect(&pair.dsn("postgres"))
        .await
        .expect("the other one");
    assert_eq!(numbers(&moved).await, "1 2");
    insert(&moved, 4).await;
    // The old primary restarts with the commits that only it has.
    pair.primary_mut().start_again().await.expect("a start");
    let old = pair.primary().session("postgres").await.expect("a session");
    assert_eq!(numbers(&old).await, "1 2 3");
}

#[tokio::test]
async fn paused_replay_shows_old_state_until_resumed_or_promoted() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    let primary = pair.primary().session("postgres").await.expect("a session");
    make_table(&primary).await;
    pair.caught_up().await.expect("the standby has it");
    let standby = pair.standby().session("postgres").await.expect("a session");
    pair.pause_replay().await.expect("a pause");
    insert(&primary, 1).await;
    assert_eq!(numbers(&standby).await, "");
    pair.resume_replay().await.expect("no pause");
    pair.caught_up().await.expect("the standby has it");
    assert_eq!(numbers(&standby).await, "1");

    pair.pause_replay().await.expect("a pause");
    insert(&primary, 2).await;
    pair.received().await.expect("it is there, not shown");
    pair.kill_primary().await.expect("a crash");
    assert_eq!(numbers(&standby).await, "1");
    pair.promote().await.expect("a promotion");
    assert_eq!(numbers(&standby).await, "1 2");
}
