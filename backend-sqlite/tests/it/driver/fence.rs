//! Tests of fences.

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{BackendError, Header, Op};
use backend_sqlite::{Options, backup};
use sidecar::driver::{Driver as _, DriverHealth, ImportOptions};
use tokio::sync::mpsc;

use crate::driver::store::{BASE, Store, all, applied, create, open, refused, update};

const REASON: &str = "the store moved to db2";

fn fenced(error: &BackendError) {
    assert_eq!(
        (error.reason(), error.outcome(), error.retry_after_ms),
        (Reason::NotReady, Outcome::NotApplied, 1000)
    );
    assert_eq!(error.message, REASON);
}

async fn fence(store: &Store, reason: Option<&str>) -> i64 {
    let fence = store.driver.fence(reason.map(str::to_owned)).await;
    fence.expect("fence").revision
}

#[tokio::test]
async fn fence_survives_restart_until_lifted() {
    let mut store = Store::new();
    store.apply(create("a/x", "1")).await;
    assert_eq!(fence(&store, Some(REASON)).await, BASE + 1);
    for _ in 0..2 {
        let refused = store.driver.commit(vec![update("a/x", "2")]).await;
        fenced(&refused.expect_err("fenced"));
        assert_eq!(
            store.driver.health().await,
            DriverHealth::Fenced(REASON.to_owned())
        );
        let reason = store.driver.fenced().await.expect("fenced");
        assert_eq!(reason.as_deref(), Some(REASON));
        assert_eq!(store.names(all()).await, ["a/x"]);
        store.driver.compact(BASE + 1).await.expect("compact");
        store.reopen().await;
    }
    assert_eq!(fence(&store, None).await, BASE + 1);
    assert_eq!(store.driver.health().await, DriverHealth::Ready);
    assert_eq!(store.apply(update("a/x", "2")).await, BASE + 2);
    store.reopen().await;
    assert_eq!(store.driver.fenced().await.expect("fenced"), None);
}

#[tokio::test]
async fn fenced_store_returns_verdicts_of_applied_operations() {
    let store = Store::new();
    let known = Op {
        op_id: vec![7; 16].into(),
        ..create("a/x", "1")
    };
    let revision = store.apply(known.clone()).await;
    fence(&store, Some(REASON)).await;
    let response = store.commit(vec![create("a/y", "1"), known]).await;
    fenced(refused(&response.results[0]));
    let again = applied(&response.results[1]);
    assert_eq!((again.revision, again.replayed), (revision, true));
    assert!(response.events.is_empty());
    assert_eq!(response.header.revision, revision);
}

#[tokio::test]
async fn fence_applies_to_imports_and_backups() {
    let store = Store::new();
    fence(&store, Some(REASON)).await;
    let options = ImportOptions {
        source: Header {
            store_id: "another".to_owned(),
            epoch: 1,
            revision: BASE,
            compact_revision: BASE,
        },
        keep_epoch: true,
        more: false,
        discard: false,
    };
    let (_sender, parts) = mpsc::channel(1);
    let refused = store.driver.import(options, parts).await;
    fenced(&refused.expect_err("fenced"));
    let copy = store.folder.path().join("copy.db");
    backup::run(&store.path(), &copy).expect("backup");
    let copy = open(&Options::new(&copy)).expect("the copy opens");
    let reason = copy.fenced().await.expect("fenced");
    assert_eq!(reason.as_deref(), Some(REASON));
    copy.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_acknowledged_above_the_fence() {
    let store = Store::new();
    for round in 0..20 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let driver = store.driver.clone();
            writers.spawn(async move {
                let mut last = 0;
                for number in 0.. {
                    let op = create(&format!("a/{round}-{writer}-{number}"), "1");
                    match driver.commit(vec![op]).await {
                        Ok(committed) => match &committed.results[0].verdict {
                            Some(Verdict::Applied(applied)) => last = applied.revision,
                            other => panic!("{other:?}"),
                        },
                        Err(error) => {
                            fenced(&error);
                            break;
                        }
                    }
                }
                last
            });
        }
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        let head = fence(&store, Some(REASON)).await;
        let last = writers.join_all().await.into_iter().max();
        assert!(last <= Some(head), "{last:?} after {head}");
        let now = store.driver.header().await.expect("header").revision;
        assert_eq!(now, head);
        fence(&store, None).await;
    }
}
