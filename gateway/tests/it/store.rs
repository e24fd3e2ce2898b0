//! The store over a real socket and a backend that misbehaves on command.

mod responses;
mod server;

mod crashes;
mod faulty;
mod gate;

use std::sync::Arc;
use std::time::Duration;

use gateway::store::{
    Action, Equality, EventKind, Filter, Freshness, ListAt, ListRequest, ObjectKey, Phase,
    ResourceId, Scope, StoreConfig, StoreError, Stored, WatchItem, WatchRequest, WatchStart,
    WriteOp, WriteOutcome,
};

use self::server::{TestServer, Things, changes, latest, number, revision, settled, thing, things};
use crate::fake::Fake;

const LATEST: Freshness = Freshness::Latest;

#[tokio::test(flavor = "multi_thread")]
async fn consistent_read_observes_every_earlier_write() {
    let server = TestServer::new().await;
    for number in 0..50 {
        let written = server.put("a/x", number, "red").await;
        let object = server
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
        let (revision, list) = server.list(latest()).await.expect("listed");
        assert!(revision >= written);
        assert_eq!(list, [("a/x".to_owned(), number)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_revision_queries_share_one_call() {
    let server = TestServer::new().await;
    let before = server.fake.disk.lock().revision_reads;
    let reads = (0..200).map(|_| server.list(latest()));
    for read in futures_util::future::join_all(reads).await {
        read.expect("listed");
    }
    let revision_reads = server.fake.disk.lock().revision_reads - before;
    assert!(revision_reads < 100, "{revision_reads} calls for 200 reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_share_one_snapshot_during_writes() {
    let server = TestServer::new().await;
    server.fake.put((0..100).map(|at| {
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
        let listing = server
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
        server.put("a/005", 999, "blue").await;
        server.put(&format!("b/{}", pages.len()), 1, "blue").await;
        server
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
    let (at, rest) = server.list(request).await.expect("listed");
    assert!(at > first.expect("listed").get());
    assert_eq!(rest.len(), 1 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_revision_is_served_or_expired() {
    let server = TestServer::small(20_000).await;
    let mut written = Vec::new();
    for number in 0..60 {
        written.push(server.put("a/x", number, "red").await);
    }
    let exact = |at: u64| ListRequest {
        at: ListAt::Exact(revision(at)),
        ..latest()
    };
    let (at, list) = server.list(exact(written[55])).await.expect("retained");
    assert_eq!((at, list), (written[55], vec![("a/x".to_owned(), 55)]));
    // History beyond the limit is dropped after the newest change was delivered.
    let expired = async {
        loop {
            match server.list(exact(written[3])).await {
                Err(StoreError::Compacted { requested, oldest }) => {
                    return (requested.get(), oldest.get());
                }
                Ok(_) => tokio::task::yield_now().await,
                other => panic!("neither there nor expired: {other:?}"),
            }
        }
    };
    let expired = tokio::time::timeout(Duration::from_secs(10), expired);
    let (requested, oldest) = expired.await.expect("history is short");
    assert_eq!((requested, oldest > written[3]), (written[3], true));
    let future = server.list(exact(written[59] + 1)).await;
    let Err(StoreError::FutureRevision { current, .. }) = future else {
        panic!("not there yet: {future:?}")
    };
    assert_eq!(current.get(), written[59]);
}

#[tokio::test(flavor = "multi_thread")]
async fn future_revision_times_out_after_three_seconds() {
    let server = TestServer::new().await;
    let written = server.put("a/x", 1, "red").await;
    let began = tokio::time::Instant::now();
    let at = ListAt::Fresh(Freshness::NotOlderThan(revision(written + 100)));
    let response = server.list(ListRequest { at, ..latest() }).await;
    assert!(
        matches!(response, Err(StoreError::FutureRevision { current, .. }) if current.get() == written)
    );
    assert!(began.elapsed() >= Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_starts_with_existing_objects() {
    let server = TestServer::new().await;
    let x = server.put("a/x", 1, "red").await;
    let y = server.put("a/y", 2, "red").await;
    let mut watcher = server.watch(WatchStart::Initial(LATEST)).await;
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
    let z = server.put("a/z", 3, "red").await;
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
async fn selector_watch_sees_objects_enter_and_leave() {
    let server = TestServer::new().await;
    let request = WatchRequest {
        filter: Arc::new(Team("red")),
        ..WatchRequest::everything(Scope::Namespace("a".to_owned()), WatchStart::Now(LATEST))
    };
    let mut watcher = server
        .store
        .watch(&things(), request)
        .await
        .expect("a watch");
    server.put("a/x", 1, "blue").await;
    server.put("b/x", 1, "red").await;
    let added = server.put("a/x", 2, "red").await;
    let modified = server.put("a/x", 3, "red").await;
    let left = server.put("a/x", 4, "blue").await;
    let seen = changes(&mut watcher, 3).await;
    let kinds = [
        (EventKind::Added, added),
        (EventKind::Modified, modified),
        (EventKind::Deleted, left),
    ];
    assert_eq!(seen, kinds.map(|(kind, at)| (kind, "a/x".to_owned(), at)));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_watcher_expires_and_others_continue() {
    let server = TestServer::small(20_000).await;
    let started = server.put("a/x", 0, "red").await;
    let mut slow = server.watch(WatchStart::After(revision(started))).await;
    let mut fast = server.watch(WatchStart::After(revision(started))).await;
    for number in 1..200 {
        let written = server.put("a/x", number, "red").await;
        let seen = changes(&mut fast, 1).await;
        assert_eq!(seen, [(EventKind::Modified, "a/x".to_owned(), written)]);
    }
    let cut = slow.next_batch(10).await;
    assert!(
        matches!(cut, Some(Err(StoreError::Compacted { .. }))),
        "{cut:?}"
    );
    assert!(slow.next_batch(10).await.is_none());
    // The newest change may not have displaced an old one yet.
    assert!(server.store.usage().history <= 22_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_resume_after_gateway_restart() {
    let server = TestServer::new().await;
    let mut written = Vec::new();
    for number in 0..20 {
        written.push(server.put("a/x", number, "red").await);
    }
    written.push(match server.write("a/x", Action::Delete).await {
        Ok(WriteOutcome::Applied { revision, .. }) => revision.get(),
        other => panic!("not deleted: {other:?}"),
    });
    let server = server.restart().await;
    let mut watcher = server.watch(WatchStart::After(revision(written[4]))).await;
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
async fn watch_from_unissued_revision_expires() {
    let server = TestServer::new().await;
    let written = server.put("a/x", 1, "red").await;
    server.list(latest()).await.expect("listed");
    let revision_reads = || server.fake.disk.lock().revision_reads;
    let before = revision_reads();
    drop(server.watch(WatchStart::After(revision(written))).await);
    // kube-apiserver sends no event there, and no store reaches this revision.
    let beyond = WatchStart::After(revision(9_000_000_000_000_000_000));
    drop(server.watch(beyond).await);
    assert_eq!(revision_reads(), before, "the caches suffice");
    let start = WatchStart::After(revision(written + 1));
    let request = WatchRequest::everything(Scope::All, start);
    let rejected = server.store.watch(&things(), request).await.map(drop);
    let Err(StoreError::FutureRevision {
        current,
        start_of_watch: true,
        ..
    }) = rejected
    else {
        panic!("a watch from the future: {rejected:?}")
    };
    assert_eq!((current.get(), revision_reads()), (written, before + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_from_revision_of_another_gateway_waits() {
    let server = TestServer::new().await;
    let seen = server.put("a/x", 1, "red").await;
    server.list(latest()).await.expect("listed");
    server
        .fake
        .fault(|faults| faults.max_delivered = Some(seen as i64));
    let pair = |number| [("a/x".to_owned(), thing("a/x", number, "red"))];
    let shown = server.fake.put(pair(2));
    let mut watcher = server.watch(WatchStart::After(revision(shown))).await;
    let next = server.fake.put(pair(3));
    server.fake.fault(|faults| faults.max_delivered = None);
    let due = [(EventKind::Modified, "a/x".to_owned(), next)];
    assert_eq!(changes(&mut watcher, 1).await, due);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_commits_expire_watches_and_revisions() {
    let server = TestServer::new().await;
    let kept = server.put("a/x", 1, "red").await;
    let lost = server.put("a/y", 2, "red").await;
    let mut watcher = server.watch(WatchStart::After(revision(kept))).await;
    assert_eq!(changes(&mut watcher, 1).await[0].2, lost);
    server.fake.restore(1);
    let cut = tokio::time::timeout(Duration::from_secs(5), watcher.next_batch(10)).await;
    assert!(
        matches!(cut, Ok(Some(Err(StoreError::EpochChanged)))),
        "{cut:?}"
    );
    server.until(|phase| *phase == Phase::Ready).await;
    let (at, list) = server.list(latest()).await.expect("listed");
    assert!(at > lost);
    assert_eq!(list, [("a/x".to_owned(), 1)]);
    for old in [kept, lost] {
        let request = WatchRequest::everything(Scope::All, WatchStart::After(revision(old)));
        let watch = server.store.watch(&things(), request).await;
        assert!(matches!(watch, Err(StoreError::Compacted { .. })));
        let exact = ListRequest {
            at: ListAt::Exact(revision(old)),
            ..latest()
        };
        assert!(matches!(
            server.list(exact).await,
            Err(StoreError::Compacted { .. })
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn store_of_older_epoch_is_rejected_with_remedy() {
    let mut server = TestServer::new().await;
    server.put("a/x", 1, "red").await;
    let mut watcher = server.watch(WatchStart::Now(LATEST)).await;
    server.fake.restore(0);
    let cut = watcher.next_batch(1).await;
    assert!(matches!(cut, Some(Err(_))), "{cut:?}");
    server.until(|phase| *phase == Phase::Ready).await;
    server.fake.kill();
    server.fake.put_back();
    server.fake.start();
    let remedy = "restart the gateways";
    let named =
        |phase: &Phase| matches!(phase, Phase::Stale { cause, .. } if cause.contains(remedy));
    server.until(named).await;
    let rejected = server
        .list(latest())
        .await
        .expect_err("rejected")
        .to_string();
    assert!(rejected.contains(remedy), "{rejected}");
}

/// An import keeps the revisions of its source, which are below those of the empty store.
#[tokio::test(flavor = "multi_thread")]
async fn store_under_import_is_awaited() {
    let fake = Fake::new();
    fake.put([("a/x".to_owned(), thing("a/x", 1, "red"))]);
    fake.disk.lock().faults.importing = Some(9);
    let server = TestServer::start(fake, StoreConfig::default());
    let waits = |phase: &Phase| {
        matches!(
            phase,
            Phase::Initializing {
                last_error: Some(_)
            }
        )
    };
    server.until(waits).await;
    server.fake.disk.lock().faults.importing = None;
    server.until(|phase| *phase == Phase::Ready).await;
    let (_, list) = server.list(latest()).await.expect("listed");
    assert_eq!(list, [("a/x".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_behind_history_reloads() {
    let mut server = TestServer::new().await;
    server.put("a/x", 1, "red").await;
    let mut watcher = server.watch(WatchStart::Now(LATEST)).await;
    server.fake.kill();
    server
        .until(|phase| matches!(phase, Phase::Stale { .. }))
        .await;
    let newest = server
        .fake
        .put((0..500).map(|at| ("a/y".to_owned(), thing("a/y", at, "red"))));
    server.fake.compact(newest - 10);
    server.fake.start();
    let cut = tokio::time::timeout(Duration::from_secs(5), watcher.next_batch(10)).await;
    assert!(matches!(cut, Ok(Some(Err(_)))), "{cut:?}");
    let list = server.list(latest()).await.expect("listed").1;
    assert_eq!(list, [("a/x".to_owned(), 1), ("a/y".to_owned(), 499)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn revision_before_replay_expires() {
    let server = TestServer::new().await;
    let newest = server
        .fake
        .put((0..300).map(|at| ("a/x".to_owned(), thing("a/x", at, "red"))));
    let config = StoreConfig {
        replay: 100,
        ..StoreConfig::default()
    };
    let server = TestServer::over(server.fake, config).await;
    for (back, retained) in [(100, true), (101, false)] {
        let start = WatchStart::After(revision(newest - back));
        let request = WatchRequest::everything(Scope::All, start);
        assert_eq!(
            server.store.watch(&things(), request).await.is_ok(),
            retained
        );
    }
    assert_eq!(
        server.list(latest()).await.expect("listed").1,
        [("a/x".to_owned(), 299)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_of_resources_does_not_affect_others() {
    let server = TestServer::new().await;
    let gadgets = ResourceId::new("example.com", "gadgets");
    let gadget = |number| {
        let value = thing("a/x", number, "red");
        WriteOp {
            resource: gadgets.clone(),
            ..server.op("a/x", value)
        }
    };
    let unserved = server.store.list(&gadgets, latest()).await;
    assert!(
        matches!(unserved, Err(StoreError::UnknownResource(_))),
        "{unserved:?}"
    );
    server.store.write(gadget(7)).await.expect("an outcome");
    let mut watcher = server.watch(WatchStart::Now(LATEST)).await;

    let both = Arc::new(Things(vec![things(), gadgets.clone()]));
    server
        .store
        .reload(both, Vec::new())
        .await
        .expect("reloaded");
    let listing = server.store.list(&gadgets, latest()).await.expect("listed");
    assert_eq!(
        listing
            .iter()
            .map(|it| number(it.bytes()))
            .collect::<Vec<_>>(),
        [7]
    );
    let written = server.put("a/x", 1, "red").await;
    assert_eq!(changes(&mut watcher, 1).await[0].2, written);

    let one = Arc::new(Things(vec![gadgets.clone()]));
    server
        .store
        .reload(one, vec![gadgets.clone()])
        .await
        .expect("reloaded");
    assert!(matches!(watcher.next_batch(1).await, Some(Err(_))));
    assert!(matches!(
        server.list(latest()).await,
        Err(StoreError::UnknownResource(_))
    ));
    let listing = server.store.list(&gadgets, latest()).await.expect("listed");
    assert_eq!(listing.iter().count(), 1);
}
