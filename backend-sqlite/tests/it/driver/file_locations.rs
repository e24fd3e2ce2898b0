//! Tests of files that are moved, truncated, damaged or readable by others.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

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
        for (left, content) in [("-wal", "frames"), (".ballast", "zeros"), (".lock", "17\n")] {
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
            open(&options).expect("a new store").close().await;
        }
    }
    // A new path, and one with only an empty file.
    let folder = tempfile::tempdir().expect("temporary directory");
    let options = Options::new(folder.path().join("ark.db"));
    std::fs::write(&options.path, "").expect("written");
    open(&options).expect("a new store").close().await;
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
