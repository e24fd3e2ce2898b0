//! `copy` without `--live`.

use backend_proto::v1::FenceRequest;
use backend_proto::v1::op::Action;

use crate::store::{Kind, Store, op, run, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_begins_a_new_epoch_unless_nothing_can_follow() {
    // Whether the source is fenced, the flag, and whether the epoch is kept.
    let cases = [
        (false, None, false),
        (false, Some("--planned"), true),
        (true, None, true),
    ];
    for (fenced, flag, kept) in cases {
        let source = Store::start(Kind::Sqlite).await;
        source.fill(300, 500).await;
        if fenced {
            let reason = "moving".to_owned();
            let request = FenceRequest { fenced, reason };
            source.client().fence(request).await.expect("fenced");
        }
        let target = Store::start(Kind::Model).await;
        let (from, to) = (source.address(), target.address());
        let mut arguments = vec!["copy", "--from", &from, "--to", &to];
        arguments.extend(flag);
        let told = run(&arguments).await.expect("copied");
        assert!(told.contains("all: 300 records"), "{told}");
        assert_eq!(source.records(0).await, target.records(0).await);
        let (here, there) = (source.head().await, target.head().await);
        assert_eq!(here.epoch == there.epoch, kept, "{told}");
        assert_eq!(here.revision == there.revision, kept, "{told}");
        let refused = run(&["copy", "--from", &from, "--to", &to]).await;
        let refused = refused.expect_err("no longer empty");
        assert!(
            refused.contains("empty") || refused.contains("same"),
            "{refused}"
        );
        assert_eq!(target.head().await, there);
        source.stop().await;
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_and_changes_nothing() {
    let source = Store::start(Kind::Model).await;
    source.fill(20, 500).await;
    let target = Store::start(Kind::Sqlite).await;
    let (from, to) = (source.address(), target.address());
    let before = target.head().await;
    for live in [None, Some("--live")] {
        let mut arguments = vec!["copy", "--from", &from, "--to", &to, "--dry-run"];
        arguments.extend(live);
        let told = run(&arguments).await.expect("told");
        for word in [
            "queries.ark.mckinsey.com: 20 records",
            "target is empty",
            "epoch would be",
        ] {
            assert!(told.contains(word), "{told}");
        }
        assert_eq!(target.describe().await.import, None);
        assert_eq!(target.head().await, before);
    }
    write(&mut target.client(), vec![op(Action::Create, "ns/a", "{}")])
        .await
        .expect("written");
    let refused = run(&["copy", "--from", &from, "--to", &to, "--dry-run"]).await;
    let refused = refused.expect_err("not empty");
    assert!(refused.contains("not empty"), "{refused}");
    source.stop().await;
    target.stop().await;
}
