//! Tests of `backup` and `restore`.

use std::os::unix::fs::PermissionsExt as _;

use backend_proto::v1::Record;
use backend_proto::v1::op::Action;
use ring::digest::{SHA256, digest};

use crate::faulty_driver::FaultyDriver;
use crate::store::{Kind, Store, op, run, write};

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
    let failed = run(&["backup", "--from", &nowhere, "--to", path]).await;
    failed.expect_err("no server");
    assert_eq!(std::fs::read(&file).expect("the file"), b"older");
    run(&["backup", "--from", &source.address(), "--to", path])
        .await
        .expect("saved");
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
