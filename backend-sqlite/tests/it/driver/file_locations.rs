//! Tests of files that are moved, truncated, damaged or readable by others.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_sqlite::{Options, backup};
use sidecar::driver::{Driver as _, DriverHealth};

use crate::driver::store::{Store, all, create, open};

fn mode(path: &Path) -> u32 {
    let found = std::fs::metadata(path).expect("a file");
    found.permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, mode).expect("set");
}

#[tokio::test]
async fn files_are_readable_by_owner_only() {
    let mut store = Store::with(|options| options.ballast_bytes = 1 << 20);
    store.apply(create("a/secret", "s3cr3t")).await;
    let names = [
        "ark.db",
        "ark.db-wal",
        "ark.db-shm",
        "ark.db.lock",
        "ark.db.position",
        "ark.db.ballast",
    ];
    let files = names.map(|name| store.folder.path().join(name));
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    let copy = store.folder.path().join("copy.db");
    backup::run(&store.path(), &copy).expect("a backup");
    assert_eq!(mode(&copy), 0o600);
    store.driver.close().await;
    // Older releases created the files with this mode.
    let files = files.iter().filter(|file| file.exists());
    files.clone().for_each(|file| set_mode(file, 0o644));
    store.open_again();
    for file in files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn moved_database_rejects_writes_until_it_is_back() {
    let store = Store::new();
    store.apply(create("a/x", "1")).await;
    let elsewhere = store.folder.path().join("elsewhere");
    std::fs::rename(store.path(), &elsewhere).expect("moved");
    let rejected = store.driver.commit(vec![create("a/y", "2")]).await;
    let error = rejected.expect_err("the file is gone");
    assert_eq!(error.reason(), Reason::NotReady);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.message.contains("ark.db was removed"), "{error:?}");
    let health = store.driver.health().await;
    assert!(matches!(health, DriverHealth::NotReady(_)), "{health:?}");
    // Reads of the open file continue.
    assert_eq!(store.names(all()).await, ["a/x"]);
    // Another file at the path is not the database.
    std::fs::write(store.path(), vec![0; 8192]).expect("written");
    let rejected = store.driver.commit(vec![create("a/y", "2")]).await;
    let error = rejected.expect_err("another file");
    assert!(error.message.contains("was replaced"), "{error:?}");
    std::fs::rename(&elsewhere, store.path()).expect("back");
    store.apply(create("a/y", "2")).await;
    assert_eq!(store.driver.health().await, DriverHealth::Ready);
    assert_eq!(store.names(all()).await, ["a/x", "a/y"]);
}

#[tokio::test]
async fn emptied_database_is_reported_dead() {
    let store = Store::new();
    store.apply(create("a/x", "1")).await;
    let file = std::fs::OpenOptions::new().write(true).open(store.path());
    file.expect("a file").set_len(0).expect("emptied");
    let rejected = store.driver.commit(vec![create("a/y", "2")]).await;
    let error = rejected.expect_err("the file is gone");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.message.contains("was emptied"), "{error:?}");
    let health = store.driver.health().await;
    assert!(matches!(health, DriverHealth::Dead(_)), "{health:?}");
}

#[tokio::test]
async fn new_store_is_rejected_where_another_existed() {
    for emptied in [true, false] {
        let lefts = [
            ("-wal", "frames"),
            (".ballast", "zeros"),
            (".lock", "17\n"),
            (".position", "closed"),
        ];
        for (left, content) in lefts {
            let folder = tempfile::tempdir().expect("temporary directory");
            let options = Options::new(folder.path().join("ark.db"));
            if emptied {
                std::fs::write(&options.path, "").expect("written");
            }
            let beside = folder.path().join(format!("ark.db{left}"));
            std::fs::write(&beside, content).expect("written");
            let line = open(&options).expect_err("refused").to_string();
            let what = if emptied { "empty" } else { "missing" };
            assert!(line.contains(what) && line.contains(left), "{line}");
            assert!(line.contains("restore a backup"), "{line}");
            // Follow the remedy that the message names.
            std::fs::remove_file(&beside).expect("removed");
            if emptied {
                std::fs::remove_file(&options.path).expect("removed");
            }
            open(&options).expect("a new store").close().await;
        }
    }
}

#[tokio::test]
async fn empty_file_is_refused_until_it_is_removed() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let options = Options::new(folder.path().join("ark.db"));
    std::fs::write(&options.path, "").expect("written");
    let line = open(&options).expect_err("refused").to_string();
    assert!(
        line.contains("it has 0 bytes") && line.contains("remove the file"),
        "{line}"
    );
    // A failed start leaves nothing behind.
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["ark.db"]);
    std::fs::remove_file(&options.path).expect("removed");
    open(&options).expect("a new store").close().await;
}

#[tokio::test]
async fn failed_starts_leave_no_files() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("ark.db");
    let count = || {
        std::fs::read_dir(folder.path())
            .expect("a directory")
            .count()
    };
    std::fs::write(&path, "dear reader, this is no database").expect("written");
    open(&Options::new(&path)).expect_err("refused");
    assert_eq!(count(), 1);
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a directory");
    let line = open(&Options::new(&path)).expect_err("refused").to_string();
    assert!(line.contains("not a regular file"), "{line}");
    assert_eq!(count(), 1);
    // A lock of a crash stays.
    std::fs::remove_dir(&path).expect("removed");
    let lock = folder.path().join("ark.db.lock");
    std::fs::write(&lock, "17\n").expect("written");
    open(&Options::new(&path)).expect_err("refused");
    assert_eq!(std::fs::read_to_string(&lock).expect("read"), "17\n");
}

#[tokio::test]
async fn files_are_beside_the_target_of_a_symbolic_link() {
    let mut store = Store::with(|options| options.ballast_bytes = 1 << 20);
    store.driver.close().await;
    let links = tempfile::tempdir().expect("temporary directory");
    let link = links.path().join("link.db");
    std::os::unix::fs::symlink(store.path(), &link).expect("linked");
    let driver = open(&Options::new(&link)).expect("opened");
    driver
        .commit(vec![create("a/x", "1")])
        .await
        .expect("written");
    // The link is not another store.
    let line = open(&Options::new(store.path()))
        .expect_err("in use")
        .to_string();
    assert!(line.contains("in use by process"), "{line}");
    assert_eq!(
        std::fs::read_dir(links.path())
            .expect("a directory")
            .count(),
        1,
        "only the link"
    );
    driver.close().await;
    // A link without a target is not a new store.
    std::fs::rename(store.path(), store.folder.path().join("moved.db")).expect("moved");
    let line = open(&Options::new(&link)).expect_err("refused").to_string();
    assert!(
        line.contains("does not exist: put the database there"),
        "{line}"
    );
    std::fs::rename(store.folder.path().join("moved.db"), store.path()).expect("moved");
    store.open_again();
}

#[tokio::test]
async fn hard_linked_database_is_refused() {
    let mut store = Store::new();
    store.apply(create("a/x", "1")).await;
    let second = store.folder.path().join("second.db");
    std::fs::hard_link(store.path(), &second).expect("linked");
    for path in [&second, &store.path()] {
        let line = open(&Options::new(path)).expect_err("refused").to_string();
        assert!(line.contains("2 names (hard links)"), "{line}");
        assert!(line.contains("remove the other names"), "{line}");
    }
    // The driver that uses the first name continues.
    store.apply(create("a/y", "1")).await;
    std::fs::remove_file(&second).expect("removed");
    store.reopen().await;
    assert_eq!(store.names(all()).await, ["a/x", "a/y"]);
}

#[tokio::test]
async fn removed_database_is_reported_without_writes() {
    let store = Store::new();
    store.apply(create("a/x", "1")).await;
    let elsewhere = store.folder.path().join("elsewhere");
    std::fs::rename(store.path(), &elsewhere).expect("moved");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match store.driver.health().await {
            DriverHealth::NotReady(line) => {
                assert!(line.contains("ark.db was removed"), "{line}");
                break;
            }
            DriverHealth::Ready => {}
            other => panic!("{other:?}"),
        }
        assert!(tokio::time::Instant::now() < deadline, "never reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::rename(&elsewhere, store.path()).expect("moved");
}

#[tokio::test]
async fn damaged_page_is_an_error_naming_the_database() {
    let mut store = Store::new();
    let value = "v".repeat(3000);
    for number in 0..200 {
        store.apply(create(&format!("a/{number:03}"), &value)).await;
    }
    store.driver.close().await;
    let mut bytes = std::fs::read(store.path()).expect("a file");
    // Damage the pages of the last values, but none of the index pages above the first.
    let sound = bytes.len() / 4096 * 3 / 4;
    for page in bytes.chunks_mut(4096).skip(sound) {
        page[..100].fill(0xff);
    }
    std::fs::write(store.path(), bytes).expect("written");
    store.open_again();
    let error = store.list(all()).await.expect_err("it cannot be read");
    assert_eq!(error.reason(), Reason::Corrupt);
    assert!(error.message.contains("ark.db is damaged"), "{error:?}");
    assert!(error.message.contains("restore a backup"), "{error:?}");
    // Objects on intact pages are served.
    let read = store
        .driver
        .get(&crate::driver::store::key("a/000"), 0)
        .await;
    assert!(read.is_ok(), "{read:?}");
}
