//! Kills of the backend, and answers that are lost.

use gateway::store::{
    Action, Cause, Freshness, ListAt, ListRequest, Phase, StoreError, WatchStart, WriteOutcome,
};

use super::LATEST;
use super::world::{World, changes, latest, number, thing};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_loses_and_repeats_nothing() {
    let mut world = World::new().await;
    let mut watcher = world.watch(WatchStart::Now(LATEST)).await;
    let mut written = Vec::new();
    for round in 0..2 {
        for number in 0..20 {
            written.push(world.put(&format!("a/{number}"), round, "red").await);
        }
        // Before the kill, which also loses what the gateway was sent and has not read.
        assert_eq!(world.list(latest()).await.expect("listed").1.len(), 20);
        world.fake.kill();
        world
            .until(|phase| matches!(phase, Phase::Stale { .. }))
            .await;
        let any = ListRequest {
            at: ListAt::Fresh(Freshness::Any),
            ..latest()
        };
        assert_eq!(world.list(any).await.expect("from the cache").1.len(), 20);
        let gone = world.list(latest()).await;
        assert!(
            matches!(gone, Err(StoreError::Unavailable { .. })),
            "{gone:?}"
        );
        written.push(
            world
                .fake
                .put([("a/x".to_owned(), thing("a/x", round, "red"))]),
        );
        world
            .write("a/x", Action::Delete)
            .await
            .expect_err("nobody is there");
        world.fake.start();
        world.until(|phase| *phase == Phase::Ready).await;
        written.push(match world.write("a/x", Action::Delete).await {
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
async fn writes_under_way_when_the_backend_dies_are_applied_once() {
    let mut world = World::new().await;
    let mut watcher = world.watch(WatchStart::Now(LATEST)).await;
    for round in 0..8 {
        let writes = (0..64).map(|at| {
            let op = world.op(&format!("a/{round}-{at}"), thing("a/x", at, "red"));
            let store = world.store.clone();
            async move { store.write(op).await }
        });
        let mut writes: tokio::task::JoinSet<_> = writes.collect();
        let first = writes.join_next().await.expect("64 writes");
        world.fake.kill();
        world.fake.start();
        let rest = writes.join_all().await;
        for outcome in rest.into_iter().chain(first) {
            let outcome = outcome.expect("known in the end");
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
    assert_eq!(world.list(latest()).await.expect("listed").1.len(), 8 * 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again_and_applied_once() {
    let world = World::new().await;
    world.fake.disk.lock().lost_answers = 2;
    let first = world.put("a/x", 1, "red").await;
    let second = world.put("a/x", 2, "red").await;
    assert_eq!(second, first + 1);
    let create = Action::Create {
        value: thing("a/x", 3, "red").into(),
        index: Default::default(),
    };
    let conflict = world.write("a/x", create).await.expect("a verdict");
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
