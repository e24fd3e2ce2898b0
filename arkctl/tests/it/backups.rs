//! Tests of `backup` and `restore`.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use backend_proto::v1::Record;
use backend_proto::v1::op::Action;
use ring::digest::{SHA256, digest};
use rustix::process::{Pid, Signal, kill_process};

use crate::faulty_driver::FaultyDriver;
use crate::store::{Kind, Store, op, program, run, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_restores_into_another_driver() {
    for (from, to, compress) in [
        (Kind::Model, Kind::Sqlite, false),
        (Kind::Sqlite, Kind::Model, true),
    ] {
        let source = Store::start(from).await;
        source.fill(500, 3000).await;
        let file = source.folder().join("backup");
        let file = file.to_str().expect("a path");
        let (address, before) = (source.address(), source.records(0).await);
        let mut arguments = vec!["backup", "--from", &address, "--to", file];
        arguments.extend(compress.then_some("--compress"));
        let output = run(&arguments).await.expect("saved");
        let written = std::fs::metadata(file).expect("the file").len();
        assert_eq!(written < 500 * 2000, compress, "{written} bytes");

        let target = Store::start(to).await;
        let there = target.address();
        let restored = run(&["restore", "--from", file, "--to", &there]).await;
        let restored = restored.expect("restored");
        assert_eq!(
            output.lines().last(),
            restored.lines().last(),
            "{output}{restored}"
        );
        assert_eq!(target.records(0).await, before);
        let (here, there) = (source.head().await, target.head().await);
        assert_eq!(here.store_id, there.store_id);
        assert!(here.epoch < there.epoch);
        // Revisions of the first restored store differ from those of a second one.
        let new = vec![op(Action::Create, "ns/new", "{}")];
        let observed = write(&mut target.client(), new).await.expect("written");
        let second = Store::start(to).await;
        let restored = run(&["restore", "--from", file, "--to", &second.address()]).await;
        restored.expect("restored");
        assert!(second.head().await.compact_revision > observed);
        second.stop().await;
        let there = target.head().await;
        let again = run(&["restore", "--from", file, "--to", &target.address()]).await;
        let rejected = again.expect_err("no longer empty");
        assert!(rejected.contains("empty"), "{rejected}");
        assert_eq!(target.head().await, there);
        source.stop().await;
        target.stop().await;
    }
}

/// Backup of a store whose revisions held the epoch in their upper bits: m2 and m3 were created in
/// its first epoch and changed in the second, m4 was created in the second.
const FORMER: &[u8] = include_bytes!("fixtures/before-0.2.arkback");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_of_earlier_release_is_renumbered_in_order() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let target = Store::start(kind).await;
        let file = target.folder().join("former");
        std::fs::write(&file, FORMER).expect("written");
        let file = file.to_str().expect("a path");
        let restored = run(&["restore", "--from", file, "--to", &target.address()]).await;
        let output = restored.expect("restored");
        assert!(output.contains("renumbering them"), "{output}");
        let records = target.records(0).await;
        let first = records.iter().map(|it| it.create_revision).min();
        let first = first.expect("records");
        let expected = [("m2", 0, 4), ("m3", 1, 2), ("m4", 3, 3)];
        for (record, (name, created, changed)) in records.iter().zip(expected) {
            assert_eq!(record.key.as_ref().expect("a key").name, name);
            let numbers = (record.create_revision, record.revision);
            assert_eq!(numbers, (first + created, first + changed));
        }
        let head = target.head().await;
        assert!(head.epoch > first + 4);

        // A client with revisions of the first restored store must list again at the second.
        let second = Store::start(kind).await;
        let restored = run(&["restore", "--from", file, "--to", &second.address()]).await;
        restored.expect("restored");
        let again = second.records(0).await;
        assert_eq!(again.len(), expected.len());
        let above = |record: &Record| record.create_revision > head.revision;
        assert!(again.iter().all(above), "{again:?} after {head:?}");
        second.stop().await;
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_backup_file_changes_nothing() {
    let source = Store::start(Kind::Model).await;
    source.fill(50, 1000).await;
    let file = source.folder().join("backup");
    let path = file.to_str().expect("a path");
    let address = source.address();
    run(&["backup", "--from", &address, "--to", path])
        .await
        .expect("saved");
    let whole = std::fs::read(&file).expect("the file");
    let target = Store::start(Kind::Sqlite).await;
    let (there, before) = (target.address(), target.head().await);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let cut = whole[..whole.len() - 1].to_vec();
    let short = whole[..20].to_vec();
    let damages = [flipped, cut, short, b"something else".repeat(99)];
    for (damage, word) in damages
        .iter()
        .zip(["damaged", "damaged", "not a backup", "not a backup"])
    {
        std::fs::write(&file, damage).expect("written");
        let rejected = run(&["restore", "--from", path, "--to", &there]).await;
        let rejected = rejected.expect_err("refused");
        assert!(rejected.contains(word), "{rejected}");
        assert_eq!(target.head().await, before);
        assert_eq!(target.records(0).await, []);
    }
    std::fs::write(&file, whole).expect("written");
    run(&["restore", "--from", path, "--to", &there])
        .await
        .expect("restored at last");
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_replaces_file_only_when_complete() {
    let source = Store::start(Kind::Model).await;
    write(&mut source.client(), vec![op(Action::Create, "ns/a", "{}")])
        .await
        .expect("written");
    let file = source.folder().join("backup");
    std::fs::write(&file, "older").expect("written");
    // A partial file of an earlier run may be readable by others.
    std::fs::write(file.with_extension("partial"), "half").expect("written");
    let nowhere = format!("unix://{}", source.folder().join("nowhere").display());
    let path = file.to_str().expect("a path");
    let failed = run(&["backup", "--from", &nowhere, "--to", path, "--force"]).await;
    failed.expect_err("no server");
    assert!(!file.with_extension("partial").exists());
    assert_eq!(std::fs::read(&file).expect("the file"), b"older");
    let existing = run(&["backup", "--from", &nowhere, "--to", path]).await;
    let existing = existing.expect_err("it exists");
    assert!(existing.contains("--force to replace it"), "{existing}");
    run(&[
        "backup",
        "--from",
        &source.address(),
        "--to",
        path,
        "--force",
    ])
    .await
    .expect("saved");
    assert!(!file.with_extension("partial").exists());
    assert_ne!(std::fs::read(&file).expect("the file"), b"older");
    let mode = std::fs::metadata(&file)
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_compares_store_with_file() {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(300, 500).await;
    let file = source.folder().join("backup");
    let path = file.to_str().expect("a path");
    run(&["backup", "--from", &source.address(), "--to", path])
        .await
        .expect("saved");
    let folder = tempfile::tempdir().expect("temporary directory");
    let target = Store::serve(folder, FaultyDriver::about("q000123")).await;
    let failed = run(&["restore", "--from", path, "--to", &target.address()]).await;
    let failed = failed.expect_err("it differs");
    assert!(
        failed.contains("the store differs from the file"),
        "{failed}"
    );
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_backup_file_is_named_in_error() {
    let source = Store::start(Kind::Model).await;
    source.fill(50, 1000).await;
    let file = source.folder().join("backup");
    let path = file.to_str().expect("a path");
    run(&["backup", "--from", &source.address(), "--to", path])
        .await
        .expect("saved");
    let whole = std::fs::read(&file).expect("the file");
    let (body, tail) = whole.split_at(whole.len() - 48);
    let counts = [&tail[..8], &tail[8..16]].map(|it| {
        let bytes = it.try_into().expect("eight bytes");
        u64::from_be_bytes(bytes)
    });
    let target = Store::start(Kind::Sqlite).await;
    for (messages, records, word) in [
        (counts[0] + 1, counts[1], "a message cannot be read"),
        (
            counts[0],
            counts[1] + 1,
            "it holds 50 records, but its trailer says 51",
        ),
    ] {
        let mut changed = body.to_vec();
        changed.extend(messages.to_be_bytes());
        changed.extend(records.to_be_bytes());
        let hash = digest(&SHA256, &changed);
        changed.extend(hash.as_ref());
        std::fs::write(&file, changed).expect("written");
        let failed = run(&["restore", "--from", path, "--to", &target.address()]).await;
        let failed = failed.expect_err("it is not whole");
        assert!(
            failed.contains(&format!("error: {path}: {word}")),
            "{failed}"
        );
        assert_eq!(target.records(0).await, []);
    }
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_to_standard_output_is_a_backup() {
    let source = Store::start(Kind::Model).await;
    source.fill(300, 1000).await;
    let address = source.address();
    for compress in [false, true] {
        let mut arguments = vec!["backup", "--from", &address, "--to", "-"];
        arguments.extend(compress.then_some("--compress"));
        let output = program(&arguments).output().await.expect("started");
        let lines = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{lines}");
        assert!(lines.contains("-: revision "), "{lines}");
        let file = source.folder().join("piped");
        std::fs::write(&file, &output.stdout).expect("written");
        let path = file.to_str().expect("a path");
        let checked = run(&["verify", "--file", path]).await.expect("whole");
        assert_eq!(checked.lines().last(), lines.lines().last());
        assert!(!source.folder().join("-").exists());
    }
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsuitable_destination_fails_before_reading() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let unserved = format!("unix://{}", path("unserved"));
    std::os::unix::fs::symlink("/dev/stdout", path("link")).expect("linked");
    for (to, part) in [
        (path("link"), "a symbolic link"),
        ("/dev/null".to_owned(), "a device"),
        (path(""), "a directory"),
        (path("no/folder"), "No such file"),
    ] {
        for force in [None, Some("--force")] {
            let mut arguments = vec!["backup", "--from", &unserved, "--to", &to];
            arguments.extend(force);
            let refused = run(&arguments).await.expect_err("refused");
            assert!(refused.contains(part), "{to}: {refused}");
            assert!(!refused.contains("unserved"), "{to}: {refused}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_backup_leaves_nothing() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let silent = folder.path().join("s");
    let _silent = UnixListener::bind(&silent).expect("a socket");
    let address = format!("unix://{}", silent.display());
    let file = folder.path().join("backup");
    let path = file.to_str().expect("a path");
    let mut child = program(&["backup", "--from", &address, "--to", path])
        .spawn()
        .expect("started");
    let partial = file.with_extension("partial");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !partial.exists() {
        assert!(Instant::now() < deadline, "no partial file");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid.and_then(Pid::from_raw).expect("running");
    kill_process(pid, Signal::TERM).expect("signalled");
    let status = child.wait().await.expect("ended");
    assert_eq!(status.code(), Some(1));
    assert!(!partial.exists() && !file.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_file_is_verified_without_a_restore() {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(200, 1000).await;
    let file = source.folder().join("backup");
    let path = file.to_str().expect("a path");
    let saved = run(&["backup", "--from", &source.address(), "--to", path]).await;
    let saved = saved.expect("saved");
    let checked = run(&["verify", "--file", path]).await.expect("whole");
    assert_eq!(checked.lines().last(), saved.lines().last());
    let json = program(&["verify", "--file", path, "-o", "json"])
        .output()
        .await;
    let json = json.expect("started").stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON alone");
    assert_eq!(json["objects"], 200);
    assert_eq!(json["revision"], source.head().await.revision.to_string());
    let digest = json["sha256"].as_str().expect("a digest");
    assert!(checked.contains(digest), "{checked} {digest}");
    let whole = std::fs::read(&file).expect("the file");
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 4;
    for (damaged, part) in [
        (&flipped[..], "damaged"),
        (&whole[..whole.len() - 7], "damaged"),
        (&whole[..9], "too short"),
    ] {
        std::fs::write(&file, damaged).expect("written");
        let refused = run(&["verify", "--file", path]).await.expect_err("refused");
        assert!(refused.contains(part), "{refused}");
        assert!(refused.contains(path), "{refused}");
    }
    source.stop().await;
}
