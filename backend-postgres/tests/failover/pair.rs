//! Tests of fail-overs to an asynchronous standby.

use postgres_testkit::{Pair, Proxy, Server};

use crate::scene::Scene;

/// Runs a fail-over that loses commits; `moves` is the proxy that leads clients to the new primary.
async fn fail_over(pair: &mut Pair, dsn: &str, moves: Option<&Proxy>) {
    let scene = Scene::start(dsn).await;
    let before = scene.header(0).await;
    scene.create(0, "kept/one").await;
    pair.caught_up().await.expect("the standby has it");
    pair.cut_replication().await.expect("a cut");
    let lost = scene.create(1, "lost/one").await;
    scene.writes().await;
    assert!(scene.shows("lost/one").await);
    pair.kill_primary().await.expect("a crash");
    pair.promote().await.expect("a promotion");
    if let Some(proxy) = moves {
        proxy.move_to(pair.standby().address());
    }
    let header = scene.epoch_after(before.epoch).await;
    assert!(!scene.shows("lost/one").await);
    assert!(scene.shows("kept/one").await);
    scene.history_is_gone(lost, &header).await;
    assert_eq!(scene.observed.epochs(), [before.epoch, header.epoch]);
    let ends = scene.finish(dsn).await;
    assert_eq!(ends.lists, [2, 2], "{:?}", ends.reasons);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_lost_in_fail_over_are_never_confused_with_later_ones() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    let database = pair.primary().create_database("ark").await.expect("made");
    let proxy = Proxy::start(pair.primary().address())
        .await
        .expect("a proxy");
    let dsn = proxy.dsn(&database);
    fail_over(&mut pair, &dsn, Some(&proxy)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dsn_with_both_servers_finds_new_primary() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    pair.primary().create_database("ark").await.expect("made");
    let dsn = pair.dsn("ark");
    fail_over(&mut pair, &dsn, None).await;
}

/// Sidecars cannot know that nothing was lost, and a needless epoch costs only one list per client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lossless_promotion_begins_an_epoch() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    pair.primary().create_database("ark").await.expect("made");
    let dsn = pair.dsn("ark");
    let scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    let stored = scene.create(0, "kept/one").await;
    pair.received().await.expect("the standby has it");
    pair.kill_primary().await.expect("a crash");
    pair.promote().await.expect("a promotion");
    let header = scene.epoch_after(before.epoch).await;
    assert!(scene.shows("kept/one").await);
    scene.history_is_gone(stored, &header).await;
    assert_eq!(scene.observed.epochs(), [before.epoch, header.epoch]);
    scene.finish(&dsn).await;
}
