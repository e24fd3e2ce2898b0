//! Tests of `copy --live`.

use std::time::Duration;

use backend_proto::v1::op::Action;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::faulty_driver::FaultyDriver;
use crate::store::{Client, Kind, Store, op, program, run, write};

/// Writes continuously until stopped or rejected; returns the newest acknowledged revision.
async fn load(mut client: Client, stop: CancellationToken) -> (i64, Option<Status>) {
    let mut newest = 0;
    for at in 0_usize.. {
        if stop.is_cancelled() {
            break;
        }
        // Nine steps: two objects that are created, updated and deleted, and one that is created
        // and updated.
        let path = format!("ns/load{:05}", at / 3);
        let action = match at % 9 {
            0 | 3 | 6 => Action::Create,
            2 | 5 => Action::Delete,
            _ => Action::Update,
        };
        let op = op(action, &path, format!(r#"{{"at":{at}}}"#));
        match write(&mut client, vec![op]).await {
            Ok(revision) => newest = revision,
            Err(rejected) => return (newest, Some(rejected)),
        }
    }
    (newest, None)
}

/// Asserts equal records at the revision, except for times, which drivers store with different
/// precision.
async fn assert_same(source: &Store, target: &Store, revision: i64) {
    assert_eq!(
        source.records(revision).await,
        target.records(revision).await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_move_is_not_repeated_and_a_stale_target_is_rejected() {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(20, 20).await;
    let target = Store::start(Kind::Model).await;
    let (from, to) = (source.address(), target.address());
    let forth = [
        "copy",
        "--from",
        &from,
        "--to",
        &to,
        "--live",
        "--accept-moved",
    ];
    let moved = run(&forth).await.expect("moved");
    assert!(moved.contains("both stores hold the same"), "{moved}");
    // The comparison of a repeated command would need the target's history since the fence.
    let create = vec![op(Action::Create, "ns/after", "{}")];
    write(&mut target.client(), create)
        .await
        .expect("the target serves");
    run(&["compact", "--at", &to, "--all"])
        .await
        .expect("compacted");
    let again = run(&forth).await.expect("nothing to do");
    assert!(again.contains("taken over already"), "{again}");
    assert!(!again.contains("both stores hold the same"), "{again}");
    // The way back ends at the store that was left, which is older.
    let back = [
        "copy",
        "--from",
        &to,
        "--to",
        &from,
        "--live",
        "--accept-moved",
    ];
    let stale = run(&back).await.expect_err("the old store is not empty");
    assert!(stale.contains(&format!("moved to {to}")), "{stale}");
    let create = vec![op(Action::Create, "ns/later", "{}")];
    write(&mut target.client(), create)
        .await
        .expect("still serves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_waits_for_drivers_that_start_later() {
    let source = Store::start(Kind::Model).await;
    source.fill(5, 5).await;
    let target = Store::start(Kind::Model).await;
    let folder = tempfile::tempdir().expect("temporary directory");
    let link = folder.path().join("later.sock");
    let (from, to) = (source.address(), format!("unix://{}", link.display()));
    let without_wait = run(&["copy", "--from", &from, "--to", &to]).await;
    assert!(without_wait.is_err(), "{without_wait:?}");
    let socket = target.address();
    let socket = socket.strip_prefix("unix://").expect("a socket");
    let arguments = ["copy", "--from", &from, "--to", &to, "--wait", "60"];
    let mut copy = program(&arguments);
    copy.stdout(std::process::Stdio::piped());
    let copy = copy.spawn().expect("started");
    // The driver appears after the first attempt, or before it on a slow machine.
    tokio::time::sleep(Duration::from_millis(500)).await;
    std::os::unix::fs::symlink(socket, &link).expect("linked");
    let output = copy.wait_with_output().await.expect("ended");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(target.records(0).await.len(), source.records(0).await.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_copy_loses_no_acknowledged_write() {
    for (from, to) in [(Kind::Sqlite, Kind::Model), (Kind::Model, Kind::Sqlite)] {
        let source = Store::start(from).await;
        source.fill(2000, 2000).await;
        let target = Store::start(to).await;
        let mut writers = JoinSet::new();
        let stop = CancellationToken::new();
        writers.spawn(load(source.client(), stop.clone()));
        let (from, to) = (source.address(), target.address());
        let output = run(&["copy", "--from", &from, "--to", &to, "--live"])
            .await
            .expect("moved");
        let (newest, rejected) = writers.join_next().await.expect("a writer").expect("wrote");
        let rejected = rejected.expect("the source is fenced");
        assert!(
            rejected.message().contains(&format!("moved to {to}")),
            "{rejected}"
        );
        let (here, there) = (source.head().await, target.head().await);
        assert!(newest > 0 && newest <= here.revision, "{newest} {output}");
        assert_eq!((here.epoch, here.revision), (there.epoch, there.revision));
        assert_eq!(here.store_id, there.store_id);
        assert_same(&source, &target, 0).await;
        // A repeated command only compares.
        let again = run(&["copy", "--from", &from, "--to", &to, "--live"]).await;
        let again = again.expect("it is there");
        assert!(again.contains("taken over already"), "{again}");
        assert!(again.contains("both stores hold the same"), "{again}");
        // The target accepts writes.
        let create = vec![op(Action::Create, "ns/after", "{}")];
        let next = write(&mut target.client(), create).await.expect("written");
        assert_eq!(next, here.revision + 1);
        source.stop().await;
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_serves_after_copy_without_cut_over() {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(300, 500).await;
    let target = Store::start(Kind::Sqlite).await;
    let (from, to) = (source.address(), target.address());
    let copy = ["copy", "--from", &from, "--to", &to, "--live"];
    let mut near = copy.to_vec();
    near.push("--no-cut-over");
    for round in 0..3 {
        let output = run(&near).await.expect("near");
        assert!(output.contains("caught up"), "{output}");
        let create = vec![op(Action::Create, &format!("ns/{round}"), "{}")];
        write(&mut source.client(), create)
            .await
            .expect("not fenced");
        assert!(target.describe().await.import_progress.is_some());
    }
    run(&copy).await.expect("moved");
    assert_same(&source, &target, 0).await;
    assert_eq!(source.head().await, {
        let mut there = target.head().await;
        there.compact_revision = source.head().await.compact_revision;
        there
    });
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compacted_history_requires_restart_of_copy() {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(300, 500).await;
    let target = Store::start(Kind::Sqlite).await;
    let (from, to) = (source.address(), target.address());
    let copy = ["copy", "--from", &from, "--to", &to, "--live"];
    let with = |flag: &'static str| copy.iter().copied().chain([flag]).collect::<Vec<_>>();
    run(&with("--no-cut-over")).await.expect("near");
    let change = vec![op(Action::Update, "ns/q000001", "{}")];
    write(&mut source.client(), change).await.expect("written");
    let change = vec![op(Action::Update, "ns/q000001", "[]")];
    write(&mut source.client(), change).await.expect("written");
    run(&["compact", "--at", &from, "--all"])
        .await
        .expect("dropped");
    // As left by a run that was killed after it set the fence.
    let reason = format!("moved to {to}");
    run(&["fence", "--at", &from, "--reason", &reason])
        .await
        .expect("fenced");
    let rejected = run(&copy).await.expect_err("compacted");
    assert!(rejected.contains("--restart"), "{rejected}");
    assert_eq!(source.describe().await.fenced, "");
    let plain = run(&["copy", "--from", &from, "--to", &to]).await;
    plain.expect_err("an unfinished copy is there");
    run(&with("--restart")).await.expect("moved");
    assert_same(&source, &target, 0).await;
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_copy_rejects_nonempty_target_without_fencing() {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(30, 500).await;
    let target = Store::start(Kind::Sqlite).await;
    write(&mut target.client(), vec![op(Action::Create, "ns/a", "{}")])
        .await
        .expect("written");
    let before = target.head().await;
    let (from, to) = (source.address(), target.address());
    let rejected = run(&["copy", "--from", &from, "--to", &to, "--live"]).await;
    let rejected = rejected.expect_err("not empty");
    assert!(rejected.contains("empty"), "{rejected}");
    assert_eq!(source.describe().await.fenced, "");
    assert_eq!(target.head().await, before);
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differing_target_is_fenced_and_source_unfenced() {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(300, 500).await;
    let folder = tempfile::tempdir().expect("temporary directory");
    let target = Store::serve(folder, FaultyDriver::about("q000123")).await;
    let (from, to) = (source.address(), target.address());
    let failed = run(&["copy", "--from", &from, "--to", &to, "--live"]).await;
    let failed = failed.expect_err("it differs");
    assert!(failed.contains("ns/q000123 (the values)"), "{failed}");
    let change = |path: &str| vec![op(Action::Create, path, "{}")];
    write(&mut source.client(), change("ns/new"))
        .await
        .expect("the source serves");
    let rejected = write(&mut target.client(), change("ns/new")).await;
    let rejected = rejected.expect_err("the target is fenced");
    assert!(rejected.message().contains("not a true copy"), "{rejected}");
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_killed_before_comparison_is_compared_on_rerun() {
    for used in [false, true] {
        let source = Store::start(Kind::Sqlite).await;
        source.fill(300, 500).await;
        let folder = tempfile::tempdir().expect("temporary directory");
        let target = Store::serve(folder, FaultyDriver::about("q000123")).await;
        let (from, to) = (source.address(), target.address());
        let reason = format!("moved to {to}");
        run(&["fence", "--at", &from, "--reason", &reason])
            .await
            .expect("fenced");
        run(&["copy", "--from", &from, "--to", &to])
            .await
            .expect_err("it differs");
        let create = |path: &str| vec![op(Action::Create, path, "{}")];
        if used {
            write(&mut target.client(), create("ns/new"))
                .await
                .expect("the target serves");
        }
        let failed = run(&["copy", "--from", &from, "--to", &to, "--live"]).await;
        let failed = failed.expect_err("it differs");
        assert!(failed.contains("ns/q000123 (the values)"), "{failed}");
        // A target with new writes is left unchanged.
        assert_eq!(source.describe().await.fenced.is_empty(), !used, "{failed}");
        assert_eq!(target.describe().await.fenced.is_empty(), used, "{failed}");
        source.stop().await;
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_stays_while_takeover_is_unknown() {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(300, 500).await;
    let target = Store::start(Kind::Sqlite).await;
    let (from, to) = (source.address(), target.address());
    let near = [
        "copy",
        "--from",
        &from,
        "--to",
        &to,
        "--live",
        "--no-cut-over",
    ];
    run(&near).await.expect("near");
    // As left by a run that was killed after it set the fence.
    let reason = format!("moved to {to}");
    run(&["fence", "--at", &from, "--reason", &reason])
        .await
        .expect("fenced");
    target.stop().await;
    let copy = ["copy", "--from", &from, "--to", &to, "--live"];
    run(&copy).await.expect_err("the target is gone");
    // The outcome is unknown, so the fence stays.
    assert_eq!(source.describe().await.fenced, reason);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_of_earlier_run_is_lifted_or_reported() {
    // Whether the target stores everything up to the fence, and may have received the closing call.
    for complete in [false, true] {
        let source = Store::start(Kind::Sqlite).await;
        source.fill(30, 500).await;
        let target = Store::start(Kind::Model).await;
        let (from, to) = (source.address(), target.address());
        let copy = ["copy", "--from", &from, "--to", &to, "--live"];
        let with = |flag: &'static str| copy.iter().copied().chain([flag]).collect::<Vec<_>>();
        run(&with("--no-cut-over")).await.expect("near");
        // Larger than the target accepts in a snapshot, so a restart is impossible.
        let large = vec![op(Action::Create, "ns/large", "x".repeat(5 << 20))];
        write(&mut source.client(), large).await.expect("written");
        if complete {
            run(&with("--no-cut-over")).await.expect("near");
        }
        // As left by a run that was killed after it set the fence.
        let reason = format!("moved to {to}");
        run(&["fence", "--at", &from, "--reason", &reason])
            .await
            .expect("fenced");
        if complete {
            let output = run(&with("--no-cut-over")).await.expect("near");
            let fenced = format!("the source is fenced: {reason}");
            assert!(output.contains(&fenced), "{output}");
        }
        let failed = run(&with("--restart")).await.expect_err("too large");
        assert!(failed.contains("ns/large"), "{failed}");
        let word = if complete {
            "stays fenced"
        } else {
            "lifted the fence"
        };
        assert!(failed.contains(word), "{failed}");
        assert_eq!(source.describe().await.fenced.is_empty(), !complete);
        source.stop().await;
        target.stop().await;
    }
}

/// Number of kills before the copy may complete.
const KILLS: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_copy_continues_on_rerun() {
    let mut killed = 0;
    for round in 0..10_u64 {
        let kinds = [Kind::Sqlite, Kind::Model];
        let source = Store::start(Kind::Sqlite).await;
        source.fill(3000, 2600).await;
        let target = Store::start(kinds[(round % 2) as usize]).await;
        let (from, to) = (source.address(), target.address());
        let copy = ["copy", "--from", &from, "--to", &to, "--live"];
        let mut writers = JoinSet::new();
        let stop = CancellationToken::new();
        writers.spawn(load(source.client(), stop.clone()));
        for attempt in 0.. {
            let mut child = program(&copy).spawn().expect("started");
            let allowed = match attempt {
                0..KILLS => Duration::from_millis(rand::random_range(5..400)),
                _ => Duration::from_secs(60),
            };
            let ended = tokio::time::timeout(allowed, child.wait()).await;
            if let Ok(status) = ended {
                let moved = status.expect("waited").success();
                let output = child.wait_with_output().await.expect("output");
                assert!(
                    moved,
                    "round {round}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                break;
            }
            assert!(attempt < KILLS, "a copy that does not end");
            child.kill().await.expect("killed");
            killed += 1;
        }
        stop.cancel();
        writers.join_next().await.expect("a writer").expect("wrote");
        let (here, there) = (source.head().await, target.head().await);
        assert_eq!((here.epoch, here.revision), (there.epoch, there.revision));
        assert_ne!(source.describe().await.fenced, "");
        run(&["verify", "--at", &from, "--against", &to])
            .await
            .expect("the same");
        source.stop().await;
        target.stop().await;
    }
    assert!(killed >= 10, "only {killed} copies were killed");
}
