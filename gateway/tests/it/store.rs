//! The store at its border: over a real socket to a backend that misbehaves on command.

mod answers;
mod world;

mod deaths;
mod faulty;
mod gate;

use std::sync::Arc;
use std::time::Duration;

use gateway::store::{
    Action, Equality, EventKind, Filter, Freshness, ListAt, ListRequest, ObjectKey, Phase,
    ResourceId, Scope, StoreConfig, StoreError, Stored, WatchItem, WatchRequest, WatchStart,
    WriteOp, WriteOutcome,
};

use self::world::{Things, World, changes, latest, number, revision, settled, thing, things};
use crate::fake::Fake;

const LATEST: Freshness = Freshness::Latest;

#[tokio::test(flavor = "multi_thread")]
async fn a_consistent_read_sees_every_write_before_it() {
    let world = World::new().await;
    for number in 0..50 {
        let written = world.put("a/x", number, "red").await;
        let object = world
            .store
            .get(&things(), &ObjectKey::new("a", "x"), LATEST)
            .await;
        let object = object.expect("read").expect("there");
        assert_eq!(object.revision().get(), written);
        let expected = format!(
            "{{\"apiVersion\":\"example.com/v1\",\"kind\":\"Thing\",\"metadata\":{{\
             \"labels\":{{\"team\":\"red\"}},\"name\":\"x\",\"namespace\":\"a\",\
             \"resourceVersion\":\"{written}\",\"uid\":\"u\"}},\
             \"spec\":{{\"color\":\"red\",\"number\":{number}}}}}"
        );
        assert_eq!(std::str::from_utf8(object.bytes()), Ok(expected.as_str()));
        let (revision, list) = world.list(latest()).await.expect("listed");
        assert!(revision >= written);
        assert_eq!(list, [("a/x".to_owned(), number)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_for_the_revision_travel_together() {
    let world = World::new().await;
    let before = world.fake.disk.lock().asked;
    let reads = (0..200).map(|_| world.list(latest()));
    for read in futures_util::future::join_all(reads).await {
        read.expect("listed");
    }
    let asked = world.fake.disk.lock().asked - before;
    assert!(asked < 100, "{asked} calls for 200 reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_from_one_snapshot_while_writes_go_on() {
    let world = World::new().await;
    world.fake.put((0..100).map(|at| {
        (
            format!("a/{at:03}"),
            thing(&format!("a/{at:03}"), at, "red"),
        )
    }));
    let mut request = ListRequest {
        paged: true,
        ..latest()
    };
    let (mut pages, mut first) = (Vec::new(), None);
    loop {
        let listing = world
            .store
            .list(&things(), request.clone())
            .await
            .expect("listed");
        let first = *first.get_or_insert(listing.revision());
        assert_eq!(listing.revision(), first);
        let page: Vec<_> = listing.iter().take(10).collect();
        let Some(last) = page.last() else { break };
        assert_eq!(
            listing.remaining(last.key()),
            100 - pages.len() - page.len()
        );
        request.at = ListAt::Continue {
            revision: Some(first),
            start: format!("{}\0", last.key().as_str()),
        };
        pages.extend(
            page.iter()
                .map(|it| (it.key().to_string(), number(it.bytes()))),
        );
        world.put("a/005", 999, "blue").await;
        world.put(&format!("b/{}", pages.len()), 1, "blue").await;
        world
            .write("a/050", Action::Delete)
            .await
            .expect("an outcome");
    }
    let expected: Vec<_> = (0..100).map(|at| (format!("a/{at:03}"), at)).collect();
    assert_eq!(pages, expected);
    request.at = ListAt::Continue {
        revision: None,
        start: "a/098\0".to_owned(),
    };
    let (at, rest) = world.list(request).await.expect("listed");
    assert!(at > first.expect("listed").get());
    assert_eq!(rest.len(), 1 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_revisions_are_exact_or_expired() {
    let world = World::small(20_000).await;
    let mut written = Vec::new();
    for number in 0..60 {
        written.push(world.put("a/x", number, "red").await);
    }
    let exact = |at: u64| ListRequest {
        at: ListAt::Exact(revision(at)),
        ..latest()
    };
    let (at, list) = world.list(exact(written[55])).await.expect("retained");
    assert_eq!((at, list), (written[55], vec![("a/x".to_owned(), 55)]));
    // What is beyond the limit goes after the newest change was shown.
    let expired = async {
        loop {
            match world.list(exact(written[3])).await {
                Err(StoreError::Compacted { requested, oldest }) => return (requested, oldest),
                Ok(_) => tokio::task::yield_now().await,
                other => panic!("neither there nor expired: {other:?}"),
            }
        }
    };
    let expired = tokio::time::timeout(Duration::from_secs(10), expired);
    let (requested, oldest) = expired.await.expect("history is short");
    assert_eq!((requested, oldest > written[3]), (written[3], true));
    let future = world.list(exact(written[59] + 1)).await;
    let Err(StoreError::FutureRevision { current, .. }) = future else {
        panic!("not there yet: {future:?}")
    };
    assert_eq!(current, written[59]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_never_comes_is_waited_for_three_seconds() {
    let world = World::new().await;
    let written = world.put("a/x", 1, "red").await;
    let began = tokio::time::Instant::now();
    let at = ListAt::Fresh(Freshness::NotOlderThan(revision(written + 100)));
    let answer = world.list(ListRequest { at, ..latest() }).await;
    assert!(
        matches!(answer, Err(StoreError::FutureRevision { current, .. }) if current == written)
    );
    assert!(began.elapsed() >= Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_begins_with_what_is_there() {
    let world = World::new().await;
    let x = world.put("a/x", 1, "red").await;
    let y = world.put("a/y", 2, "red").await;
    let mut watcher = world.watch(WatchStart::Initial(LATEST)).await;
    let batch = watcher
        .next_batch(10)
        .await
        .expect("open")
        .expect("no error");
    let [
        WatchItem::Initial(first),
        WatchItem::Initial(second),
        WatchItem::InitialEnd(end),
    ] = &batch[..]
    else {
        panic!("two objects and the end: {batch:?}")
    };
    assert_eq!(
        (first.revision().get(), second.revision().get(), end.get()),
        (x, y, y)
    );
    let z = world.put("a/z", 3, "red").await;
    assert_eq!(
        changes(&mut watcher, 1).await,
        [(EventKind::Added, "a/z".to_owned(), z)]
    );
    settled(&mut watcher).await;
    assert_eq!(watcher.progress().map(|at| at.get()), Some(z));
}

struct Team(&'static str);

impl Filter for Team {
    fn matches(&self, object: &Stored) -> bool {
        object.labels().get("team") == Some(self.0)
    }

    fn equalities(&self) -> Vec<Equality> {
        vec![Equality::Label("team".to_owned(), self.0.to_owned())]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_sees_objects_come_and_go() {
    let world = World::new().await;
    let request = WatchRequest {
        filter: Arc::new(Team("red")),
        ..WatchRequest::everything(Scope::Namespace("a".to_owned()), WatchStart::Now(LATEST))
    };
    let mut watcher = world
        .store
        .watch(&things(), request)
        .await
        .expect("a watch");
    world.put("a/x", 1, "blue").await;
    world.put("b/x", 1, "red").await;
    let added = world.put("a/x", 2, "red").await;
    let modified = world.put("a/x", 3, "red").await;
    let left = world.put("a/x", 4, "blue").await;
    let seen = changes(&mut watcher, 3).await;
    let kinds = [
        (EventKind::Added, added),
        (EventKind::Modified, modified),
        (EventKind::Deleted, left),
    ];
    assert_eq!(seen, kinds.map(|(kind, at)| (kind, "a/x".to_owned(), at)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watcher_is_cut_and_others_are_not() {
    let world = World::small(20_000).await;
    let started = world.put("a/x", 0, "red").await;
    let mut slow = world.watch(WatchStart::After(revision(started))).await;
    let mut fast = world.watch(WatchStart::After(revision(started))).await;
    for number in 1..200 {
        let written = world.put("a/x", number, "red").await;
        let seen = changes(&mut fast, 1).await;
        assert_eq!(seen, [(EventKind::Modified, "a/x".to_owned(), written)]);
    }
    let cut = slow.next_batch(10).await;
    assert!(
        matches!(cut, Some(Err(StoreError::Compacted { .. }))),
        "{cut:?}"
    );
    assert!(slow.next_batch(10).await.is_none());
    // The change just applied may not have pushed out an old one yet.
    assert!(world.store.usage().history <= 22_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_resume_over_a_restart_of_the_gateway() {
    let world = World::new().await;
    let mut written = Vec::new();
    for number in 0..20 {
        written.push(world.put("a/x", number, "red").await);
    }
    written.push(match world.write("a/x", Action::Delete).await {
        Ok(WriteOutcome::Applied { revision, .. }) => revision.get(),
        other => panic!("not deleted: {other:?}"),
    });
    let world = world.restart().await;
    let mut watcher = world.watch(WatchStart::After(revision(written[4]))).await;
    let seen = changes(&mut watcher, 16).await;
    let kinds = [EventKind::Modified; 15]
        .into_iter()
        .chain([EventKind::Deleted]);
    let expected: Vec<_> = kinds
        .zip(&written[5..])
        .map(|(kind, at)| (kind, "a/x".to_owned(), *at))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_revision_that_was_not_issued_expires() {
    let world = World::new().await;
    let written = world.put("a/x", 1, "red").await;
    world.list(latest()).await.expect("listed");
    let asked = || world.fake.disk.lock().asked;
    let before = asked();
    drop(world.watch(WatchStart::After(revision(written))).await);
    // kube-apiserver is silent there, and no store comes so far.
    let beyond = WatchStart::After(revision(9_000_000_000_000_000_000));
    drop(world.watch(beyond).await);
    assert_eq!(asked(), before, "the caches know");
    let start = WatchStart::After(revision(written + 1));
    let request = WatchRequest::everything(Scope::All, start);
    let refused = world.store.watch(&things(), request).await.map(drop);
    let Err(StoreError::FutureRevision {
        current,
        start_of_watch: true,
        ..
    }) = refused
    else {
        panic!("a watch from the future: {refused:?}")
    };
    assert_eq!((current, asked()), (written, before + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_revision_that_another_gateway_showed_waits_for_it() {
    let world = World::new().await;
    let seen = world.put("a/x", 1, "red").await;
    world.list(latest()).await.expect("listed");
    world.fake.fault(|faults| faults.held = Some(seen as i64));
    let pair = |number| [("a/x".to_owned(), thing("a/x", number, "red"))];
    let shown = world.fake.put(pair(2));
    let mut watcher = world.watch(WatchStart::After(revision(shown))).await;
    let next = world.fake.put(pair(3));
    world.fake.fault(|faults| faults.held = None);
    let due = [(EventKind::Modified, "a/x".to_owned(), next)];
    assert_eq!(changes(&mut watcher, 1).await, due);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_commits_end_every_watch_and_void_every_revision() {
    let world = World::new().await;
    let kept = world.put("a/x", 1, "red").await;
    let lost = world.put("a/y", 2, "red").await;
    let mut watcher = world.watch(WatchStart::After(revision(kept))).await;
    assert_eq!(changes(&mut watcher, 1).await[0].2, lost);
    world.fake.restore(1);
    let cut = tokio::time::timeout(Duration::from_secs(5), watcher.next_batch(10)).await;
    assert!(
        matches!(cut, Ok(Some(Err(StoreError::EpochChanged)))),
        "{cut:?}"
    );
    world.until(|phase| *phase == Phase::Ready).await;
    let (at, list) = world.list(latest()).await.expect("listed");
    assert!(at > lost);
    assert_eq!(list, [("a/x".to_owned(), 1)]);
    for old in [kept, lost] {
        let request = WatchRequest::everything(Scope::All, WatchStart::After(revision(old)));
        let watch = world.store.watch(&things(), request).await;
        assert!(matches!(watch, Err(StoreError::Compacted { .. })));
        let exact = ListRequest {
            at: ListAt::Exact(revision(old)),
            ..latest()
        };
        assert!(matches!(
            world.list(exact).await,
            Err(StoreError::Compacted { .. })
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_an_older_epoch_is_refused_and_the_remedy_is_named() {
    let mut world = World::new().await;
    world.put("a/x", 1, "red").await;
    let mut watcher = world.watch(WatchStart::Now(LATEST)).await;
    world.fake.restore(0);
    let cut = watcher.next_batch(1).await;
    assert!(matches!(cut, Some(Err(_))), "{cut:?}");
    world.until(|phase| *phase == Phase::Ready).await;
    world.fake.kill();
    world.fake.put_back();
    world.fake.start();
    let remedy = "restart the gateways";
    let named =
        |phase: &Phase| matches!(phase, Phase::Stale { trouble, .. } if trouble.contains(remedy));
    world.until(named).await;
    let refused = world.list(latest()).await.expect_err("refused").to_string();
    assert!(refused.contains(remedy), "{refused}");
}

/// Which keeps the revisions of its source, below those of the empty store.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_being_filled_is_waited_for() {
    let fake = Fake::new();
    fake.put([("a/x".to_owned(), thing("a/x", 1, "red"))]);
    fake.disk.lock().faults.importing = Some(9);
    let world = World::start(fake, StoreConfig::default());
    let waits = |phase: &Phase| matches!(phase, Phase::Initializing { trouble: Some(_) });
    world.until(waits).await;
    world.fake.disk.lock().faults.importing = None;
    world.until(|phase| *phase == Phase::Ready).await;
    let (_, list) = world.list(latest()).await.expect("listed");
    assert_eq!(list, [("a/x".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_away_for_too_long_loads_anew() {
    let mut world = World::new().await;
    world.put("a/x", 1, "red").await;
    let mut watcher = world.watch(WatchStart::Now(LATEST)).await;
    world.fake.kill();
    world
        .until(|phase| matches!(phase, Phase::Stale { .. }))
        .await;
    let newest = world
        .fake
        .put((0..500).map(|at| ("a/y".to_owned(), thing("a/y", at, "red"))));
    world.fake.compact(newest - 10);
    world.fake.start();
    let cut = tokio::time::timeout(Duration::from_secs(5), watcher.next_batch(10)).await;
    assert!(matches!(cut, Ok(Some(Err(_)))), "{cut:?}");
    let list = world.list(latest()).await.expect("listed").1;
    assert_eq!(list, [("a/x".to_owned(), 1), ("a/y".to_owned(), 499)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_beyond_the_replay_is_not_promised() {
    let world = World::new().await;
    let newest = world
        .fake
        .put((0..300).map(|at| ("a/x".to_owned(), thing("a/x", at, "red"))));
    let config = StoreConfig {
        replay: 100,
        ..StoreConfig::default()
    };
    let world = World::over(world.fake, config).await;
    for (back, retained) in [(100, true), (101, false)] {
        let start = WatchStart::After(revision(newest - back));
        let request = WatchRequest::everything(Scope::All, start);
        assert_eq!(
            world.store.watch(&things(), request).await.is_ok(),
            retained
        );
    }
    assert_eq!(
        world.list(latest()).await.expect("listed").1,
        [("a/x".to_owned(), 299)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_come_and_go_without_disturbing_others() {
    let world = World::new().await;
    let gadgets = ResourceId::new("example.com", "gadgets");
    let gadget = |number| {
        let value = thing("a/x", number, "red");
        WriteOp {
            resource: gadgets.clone(),
            ..world.op("a/x", value)
        }
    };
    let unserved = world.store.list(&gadgets, latest()).await;
    assert!(
        matches!(unserved, Err(StoreError::UnknownResource(_))),
        "{unserved:?}"
    );
    world.store.write(gadget(7)).await.expect("an outcome");
    let mut watcher = world.watch(WatchStart::Now(LATEST)).await;

    let both = Arc::new(Things(vec![things(), gadgets.clone()]));
    world
        .store
        .reload(both, Vec::new())
        .await
        .expect("reloaded");
    let listing = world.store.list(&gadgets, latest()).await.expect("listed");
    assert_eq!(
        listing
            .iter()
            .map(|it| number(it.bytes()))
            .collect::<Vec<_>>(),
        [7]
    );
    let written = world.put("a/x", 1, "red").await;
    assert_eq!(changes(&mut watcher, 1).await[0].2, written);

    let one = Arc::new(Things(vec![gadgets.clone()]));
    world
        .store
        .reload(one, vec![gadgets.clone()])
        .await
        .expect("reloaded");
    assert!(matches!(watcher.next_batch(1).await, Some(Err(_))));
    assert!(matches!(
        world.list(latest()).await,
        Err(StoreError::UnknownResource(_))
    ));
    let listing = world.store.list(&gadgets, latest()).await.expect("listed");
    assert_eq!(listing.iter().count(), 1);
}
