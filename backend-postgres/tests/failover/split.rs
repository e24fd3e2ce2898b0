//! Tests of an old primary that stays up beside the new one; only new connections reach the new
//! one.

use std::time::Duration;

use backend_proto::v1::backend_error::Reason;
use postgres_testkit::{Mode, Pair, Proxy, Server};

use crate::scene::{Scene, contexts, reason};
use crate::sidecar::{Sidecar, eventually};

/// Terminates some of a sidecar's connections; the others stay on the old primary.
const FEW: &str = "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity \
     where datname = 'ark' and pid <> pg_backend_pid() order by pid limit 4) as few";

/// Counts the object `lost/one`.
const LOST: &str = "select count(*) from ark.object where path = 'lost/one'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_old_primary_do_not_restore_its_epoch() {
    for _ in 0..5 {
        if settles_on_new_primary().await {
            return;
        }
    }
    panic!("no write reached the old primary");
}

/// Returns `false` if the write that must be lost reached the new primary: a busy machine may have
/// ended the connection to the old one.
async fn settles_on_new_primary() -> bool {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    let database = pair.primary().create_database("ark").await.expect("made");
    let proxy = Proxy::start(pair.primary().address())
        .await
        .expect("a proxy");
    let dsn = proxy.dsn(&database);
    let scene = Scene::start(&dsn).await;
    let before = scene.header(0).await;
    pair.cut_replication().await.expect("a cut");
    pair.promote().await.expect("a promotion");
    proxy.move_to(pair.standby().address());
    let lost = scene.create(0, "lost/one").await;
    let session = pair.primary().session("ark").await.expect("a session");
    if session.text(LOST).await.expect("a count").as_deref() != Some("1") {
        return false;
    }
    session.text(FEW).await.expect("some end");
    // A sidecar with connections to both servers must settle on one; at most one epoch per server
    // may begin.
    eventually("a sidecar finds the new primary", async || {
        let first = scene.header(0).await;
        let second = scene.header(1).await;
        first.epoch > before.epoch || second.epoch > before.epoch
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.set(Mode::Cut).await.expect("the rest ends");
    let header = scene.epoch_after(before.epoch).await;
    assert!(!scene.shows("lost/one").await);
    scene.history_is_gone(lost, &header).await;
    assert_eq!(scene.observed.epochs(), [before.epoch, header.epoch]);
    let ends = scene.finish(&dsn).await;
    assert_eq!(ends.lists, [2, 2], "{:?}", ends.reasons);
    true
}

/// No connection breaks, so a watch can only end because of the new epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_watch_ends_with_its_epoch() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    let database = pair.primary().create_database("ark").await.expect("made");
    let proxy = Proxy::start(pair.primary().address())
        .await
        .expect("a proxy");
    let sidecar = Sidecar::start(&proxy.dsn(&database)).await;
    let context = contexts(std::slice::from_ref(&sidecar)).await.remove(0);
    let old = context.client.current().await.expect("an answer").revision;
    let opened = context.client.try_watch(context.after(old)).await;
    let mut stream = opened.expect("sound").expect("a watch");
    pair.caught_up().await.expect("the standby has it");
    pair.promote().await.expect("a promotion");
    proxy.move_to(pair.standby().address());
    proxy.set(Mode::Cut).await.expect("all connections end");
    let end = loop {
        match stream.next().await.expect("sound") {
            Ok(message) => assert_eq!(message.up_to_revision, old),
            Err(end) => break end,
        }
    };
    assert_eq!(reason(&end), Reason::EpochChanged, "{end}");
    let opened = context.client.try_watch(context.after(old)).await;
    let rejected = opened.expect("sound").map(drop).expect_err("an old start");
    assert_eq!(reason(&rejected), Reason::Compacted, "{rejected}");
    sidecar.stop().await;
}

/// Both primaries accept writes; the addresses of both are given, in either order or at random.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deposed_primary_is_left_for_the_one_on_the_latest_timeline() {
    for suffix in ["", "&load_balance_hosts=random"] {
        let mut pair = Pair::start(Server::builder()).await.expect("a pair");
        pair.primary().create_database("ark").await.expect("made");
        let dsn = pair.dsn("ark") + suffix;
        let scene = Scene::start(&dsn).await;
        let before = scene.header(0).await;
        pair.cut_replication().await.expect("a cut");
        pair.promote().await.expect("a promotion");
        // No connection breaks, and the old primary continues to accept writes.
        let header = scene.epoch_after(before.epoch).await;
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                   where datname = 'ark' and pid <> pg_backend_pid()";
        for _ in 0..3 {
            for server in [pair.primary(), pair.standby()] {
                let session = server.session("ark").await.expect("a session");
                session.text(end).await.expect("some end");
            }
            scene.writes().await;
        }
        assert_eq!(
            scene.observed.epochs(),
            [before.epoch, header.epoch],
            "{suffix}"
        );
        let stale = pair.primary().session("ark").await.expect("a session");
        let old = "select max(epoch)::text from ark.store";
        let old = stale.text(old).await.expect("asked");
        assert_eq!(
            old,
            Some(before.epoch.to_string()),
            "no epoch begins on the old primary"
        );
        scene.finish(&dsn).await;
    }
}

/// A client of a virtual address, which leads to the old primary until its connections end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_commit_finds_new_primary_behind_the_address() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    let database = pair.primary().create_database("ark").await.expect("made");
    let proxy = Proxy::start(pair.primary().address())
        .await
        .expect("a proxy");
    let dsn = proxy.dsn(&database);
    let sidecar = Sidecar::start(&dsn).await;
    let context = contexts(std::slice::from_ref(&sidecar)).await.remove(0);
    let before = context.client.current().await.expect("an answer");
    let primary = pair.primary();
    let standbys = "synchronous_standby_names";
    primary.set(standbys, "standby").await.expect("set");
    pair.caught_up().await.expect("the standby has it");
    pair.cut_replication().await.expect("a cut");
    pair.promote().await.expect("a promotion");
    // Existing connections stay with the old primary, as behind a load balancer.
    proxy.move_to(pair.standby().address());
    let started = std::time::Instant::now();
    let written = context
        .client
        .verdict(context.create("a/one", "a value"))
        .await;
    let after = context.client.current().await.expect("an answer");
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
    assert!(written.is_ok(), "{written:?}");
    assert!(after.epoch > before.epoch, "{after:?} after {before:?}");
    sidecar.stop().await;
}

/// A pooler or a name that leads to either of two primaries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn address_that_leads_back_to_old_primary_begins_no_epoch() {
    let mut pair = Pair::start(Server::builder()).await.expect("a pair");
    let database = pair.primary().create_database("ark").await.expect("made");
    let proxy = Proxy::start(pair.primary().address())
        .await
        .expect("a proxy");
    let sidecar = Sidecar::start(&proxy.dsn(&database)).await;
    let context = contexts(std::slice::from_ref(&sidecar)).await.remove(0);
    let before = context.client.current().await.expect("an answer");
    pair.cut_replication().await.expect("a cut");
    pair.promote().await.expect("a promotion");
    let lead_to = async |address| {
        proxy.move_to(address);
        proxy.set(Mode::Cut).await.expect("all connections end");
        proxy.set(Mode::Forward).await.expect("forwards");
    };
    lead_to(pair.standby().address()).await;
    eventually("the new primary", async || {
        let found = context.client.current().await;
        found.is_ok_and(|header| header.epoch > before.epoch)
    })
    .await;
    let header = context.client.current().await.expect("an answer");
    for _ in 0..3 {
        lead_to(pair.primary().address()).await;
        eventually("the old primary is refused", async || {
            let found = context.client.current().await;
            found.is_err_and(|error| error.to_string().contains("deposed"))
        })
        .await;
        lead_to(pair.standby().address()).await;
        eventually("the new primary", async || {
            context.client.current().await.is_ok()
        })
        .await;
        let again = context.client.current().await.expect("an answer");
        assert_eq!(again.epoch, header.epoch);
    }
    sidecar.stop().await;
}
