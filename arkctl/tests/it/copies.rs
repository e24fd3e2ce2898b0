//! Tests of `copy` without `--live`.

use std::sync::Arc;

use backend_proto::limits::LAST_IMPORT;
use backend_proto::v1::op::Action;
use backend_proto::v1::{FenceRequest, Header};
use conformance::ModelDriver;
use sidecar::Driver as _;
use sidecar::driver::{ImportOptions, ImportPart};
use tokio::sync::mpsc;

use crate::store::{Kind, Store, op, run, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_begins_new_epoch_unless_source_is_fenced_or_planned() {
    // Whether the source is fenced, the flag, and whether the epoch is kept.
    let cases = [
        (false, None, false),
        (false, Some("--planned"), true),
        (true, None, true),
    ];
    for (fenced, flag, keeps_epoch) in cases {
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
        let output = run(&arguments).await.expect("copied");
        assert!(output.contains("all: 300 records"), "{output}");
        assert_eq!(source.records(0).await, target.records(0).await);
        let (here, there) = (source.head().await, target.head().await);
        assert_eq!(here.epoch == there.epoch, keeps_epoch, "{output}");
        assert_eq!(here.revision == there.revision, keeps_epoch, "{output}");
        let rejected = run(&["copy", "--from", &from, "--to", &to]).await;
        let rejected = rejected.expect_err("no longer empty");
        assert!(
            rejected.contains("empty") || rejected.contains("same"),
            "{rejected}"
        );
        assert_eq!(target.head().await, there);
        source.stop().await;
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_dry_run_reports_and_changes_nothing() {
    let source = Store::start(Kind::Model).await;
    source.fill(20, 500).await;
    let target = Store::start(Kind::Sqlite).await;
    let (from, to) = (source.address(), target.address());
    let before = target.head().await;
    for live in [None, Some("--live")] {
        let mut arguments = vec!["copy", "--from", &from, "--to", &to, "--dry-run"];
        arguments.extend(live);
        let output = run(&arguments).await.expect("printed");
        for word in [
            "queries.ark.mckinsey.com: 20 records",
            "target is empty",
            "epoch would",
        ] {
            assert!(output.contains(word), "{output}");
        }
        assert_eq!(target.describe().await.import_progress, None);
        assert_eq!(target.head().await, before);
    }
    write(&mut target.client(), vec![op(Action::Create, "ns/a", "{}")])
        .await
        .expect("written");
    let rejected = run(&["copy", "--from", &from, "--to", &to, "--dry-run"]).await;
    let rejected = rejected.expect_err("not empty");
    assert!(rejected.contains("not empty"), "{rejected}");
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_dry_run_reports_unfinished_copy() {
    let source = Store::start(Kind::Sqlite).await;
    let other = Store::start(Kind::Sqlite).await;
    let target = Store::start(Kind::Sqlite).await;
    source.fill(20, 500).await;
    other.fill(20, 500).await;
    let (from, wrong, to) = (source.address(), other.address(), target.address());
    let copy = |from, flags: &[&'static str]| {
        let mut arguments = vec!["copy", "--from", from, "--to", to.as_str()];
        arguments.extend(flags);
        arguments
    };
    run(&copy(&from, &["--live", "--no-cut-over"]))
        .await
        .expect("near");
    let unfinished = target.describe().await.import_progress;
    let update = |value: &'static str| vec![op(Action::Update, "ns/q000001", value)];
    // A dry run and the real run fail with the same message.
    let cases: [(&String, &[&str], &str); 3] = [
        (&wrong, &["--live"], "of another store"),
        (&wrong, &[], "it holds an unfinished copy"),
        (&from, &["--live"], "dropped history"),
    ];
    for (from, flags, words) in cases {
        if words == "dropped history" {
            let mut client = source.client();
            write(&mut client, update("1")).await.expect("written");
            write(&mut client, update("2")).await.expect("written");
            run(&["compact", "--at", from, "--all"])
                .await
                .expect("dropped");
        }
        for last in ["--dry-run", "--reason=why"] {
            let live = flags.contains(&"--live");
            let last = (live || last == "--dry-run").then_some(last);
            let flags: Vec<_> = flags.iter().copied().chain(last).collect();
            let rejected = run(&copy(from, &flags)).await.expect_err("refused");
            assert!(rejected.contains(words), "{flags:?}: {rejected}");
            assert_eq!(target.describe().await.import_progress, unfinished);
        }
    }
    let output = run(&copy(&from, &["--live", "--restart", "--dry-run"])).await;
    output.expect("it would be dropped");
    assert_eq!(target.describe().await.import_progress, unfinished);
    run(&copy(&from, &["--live", "--restart"]))
        .await
        .expect("moved");
    let output = run(&copy(&from, &["--live", "--dry-run"])).await;
    let output = output.expect("it would be compared");
    assert!(output.contains("taken over already"), "{output}");
    source.stop().await;
    other.stop().await;
    target.stop().await;
}

/// Starts a store whose revisions are near the maximum.
async fn far_along() -> Store {
    let model = ModelDriver::new();
    let source = Header {
        store_id: "far".to_owned(),
        epoch: 1,
        revision: LAST_IMPORT + 5,
        compact_revision: LAST_IMPORT + 5,
    };
    let options = ImportOptions {
        source,
        keep_epoch: true,
        more: false,
        discard: false,
    };
    let (sender, parts) = mpsc::channel(1);
    sender.send(ImportPart::Done).await.expect("room");
    model.import(options, parts).await.expect("imported");
    let folder = tempfile::tempdir().expect("temporary directory");
    Store::serve(folder, Arc::new(model)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_store_is_rejected_by_copy_and_renumbered_by_restore() {
    let source = far_along().await;
    source.fill(3, 100).await;
    let target = Store::start(Kind::Sqlite).await;
    let (from, to) = (source.address(), target.address());
    for dry_run in [Some("--dry-run"), None] {
        let mut arguments = vec!["copy", "--from", &from, "--to", &to];
        arguments.extend(dry_run);
        let rejected = run(&arguments).await.expect_err("refused");
        assert!(
            rejected.contains("the source has a revision above"),
            "{rejected}"
        );
    }
    let file = source.folder().join("backup");
    let file = file.to_str().expect("a path");
    let saved = run(&["backup", "--from", &from, "--to", file]).await;
    saved.expect("saved");
    let restored = run(&["restore", "--from", file, "--to", &to]).await;
    restored.expect("restored");
    let (records, head) = (target.records(0).await, target.head().await);
    assert_eq!(records.len(), 3);
    assert!(head.revision < LAST_IMPORT, "{head:?}");
    source.stop().await;
    target.stop().await;
}
