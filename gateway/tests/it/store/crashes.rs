//! Kills of the backend, and lost responses.

use std::time::Duration;

use gateway::store::{
    Action, Cause, Freshness, ListAt, ListRequest, Phase, StoreError, WatchStart, WriteOutcome,
};

use super::LATEST;
use super::server::{TestServer, changes, latest, number, thing};

#[tokio::test(flavor = "multi_thread")]
async fn killed_backend_loses_and_repeats_no_event() {
    let mut server = TestServer::new().await;
    let mut watcher = server.watch(WatchStart::Now(LATEST)).await;
    let mut written = Vec::new();
    for round in 0..2 {
        for number in 0..20 {
            written.push(server.put(&format!("a/{number}"), round, "red").await);
        }
        // Before the kill, which also loses sent data that the gateway has not read.
        assert_eq!(server.list(latest()).await.expect("listed").1.len(), 20);
        server.fake.kill();
        server
            .until(|phase| matches!(phase, Phase::Stale { .. }))
            .await;
        let any = ListRequest {
            at: ListAt::Fresh(Freshness::Any),
            ..latest()
        };
        assert_eq!(server.list(any).await.expect("from the cache").1.len(), 20);
        let gone = server.list(latest()).await;
        assert!(
            matches!(gone, Err(StoreError::Unavailable { .. })),
            "{gone:?}"
        );
        written.push(
            server
                .fake
                .put([("a/x".to_owned(), thing("a/x", round, "red"))]),
        );
        server
            .write("a/x", Action::Delete)
            .await
            .expect_err("unreachable");
        server.fake.start();
        server.until(|phase| *phase == Phase::Ready).await;
        written.push(match server.write("a/x", Action::Delete).await {
            Ok(WriteOutcome::Applied { revision, .. }) => revision.get(),
            other => panic!("not deleted: {other:?}"),
        });
    }
    let seen = changes(&mut watcher, written.len()).await;
    assert_eq!(
        seen.into_iter().map(|(_, _, at)| at).collect::<Vec<_>>(),
        written
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_during_backend_crash_are_applied_once() {
    let mut server = TestServer::new().await;
    let mut watcher = server.watch(WatchStart::Now(LATEST)).await;
    for round in 0..8 {
        let writes = (0..64).map(|at| {
            let op = server.op(&format!("a/{round}-{at}"), thing("a/x", at, "red"));
            let store = server.store.clone();
            async move { store.write(op).await }
        });
        let mut writes: tokio::task::JoinSet<_> = writes.collect();
        let first = writes.join_next().await.expect("64 writes");
        server.fake.kill();
        server.fake.start();
        let rest = writes.join_all().await;
        for outcome in rest.into_iter().chain(first) {
            let outcome = outcome.expect("an outcome in the end");
            assert!(
                matches!(outcome, WriteOutcome::Applied { .. }),
                "{outcome:?}"
            );
        }
        let mut seen = changes(&mut watcher, 64).await;
        seen.sort_by(|one, other| one.1.cmp(&other.1));
        seen.dedup_by(|one, other| one.1 == other.1);
        assert_eq!(seen.len(), 64);
    }
    // A read whose connection ended meanwhile is unavailable, and repeated by clients.
    let listed = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            match server.list(latest()).await {
                Err(StoreError::Unavailable { .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                listed => return listed,
            }
        }
    });
    let listed = listed.await.expect("available in time").expect("listed");
    assert_eq!(listed.1.len(), 8 * 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn write_with_lost_response_is_retried_and_applied_once() {
    let server = TestServer::new().await;
    server.fake.disk.lock().lost_responses = 2;
    let first = server.put("a/x", 1, "red").await;
    let second = server.put("a/x", 2, "red").await;
    assert_eq!(second, first + 1);
    let create = Action::Create {
        value: thing("a/x", 3, "red").into(),
        index: Default::default(),
    };
    let conflict = server.write("a/x", create).await.expect("a verdict");
    let WriteOutcome::Conflict {
        cause: Cause::Exists,
        current: Some(current),
    } = conflict
    else {
        panic!("it exists: {conflict:?}")
    };
    assert_eq!(
        (current.revision().get(), number(current.bytes())),
        (second, 2)
    );
}
