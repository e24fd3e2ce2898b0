//! Tests of stores of releases before 0.2, and of where epochs begin.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use backend_proto::limits::{LAST_IMPORT, MAX_REVISION};
use backend_proto::v1::backend_error::Reason;
use backend_sqlite::{Options, SqliteDriver, backup};
use conformance::epochs::{Clock, Stores, walk, write_to_the_last_revision};
use rusqlite::Connection;
use sidecar::Driver;
use sidecar::driver::ListQuery;
use tempfile::TempDir;

use crate::driver::store::{Store, all, at, create, list, open, path};

/// Two epochs of 2^40 revisions each: m2 and m3 were created in the first and changed in the
/// second, m4 was created in the second, m1 was deleted.
const FORMER: &[u8] = include_bytes!("../../fixtures/before-0.2.db");
/// Newest revision of [`FORMER`].
const NEWEST: i64 = 263_279_296_198_320_132;

fn memories(revision: i64) -> ListQuery {
    let mut query = at(revision);
    "memories".clone_into(&mut query.range.resource);
    query
}

fn former() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("ark.db");
    std::fs::write(&path, FORMER).expect("written");
    (folder, path)
}

#[tokio::test]
async fn store_of_earlier_release_is_renumbered_once_in_order() {
    let (_folder, file) = former();
    let driver = open(&Options::new(&file)).expect("opened");
    let listed = list(&driver, memories(0)).await.expect("listed");
    let header = listed.header;
    assert!(header.revision <= MAX_REVISION && header.compact_revision == header.revision);
    let numbers: Vec<_> = listed
        .records
        .iter()
        .map(|it| {
            let from = |revision| revision - header.epoch;
            (path(it), from(it.create_revision), from(it.revision))
        })
        .collect();
    // The six old revisions are renumbered in their order.
    let expected = [("m2", 1, 5), ("m3", 2, 3), ("m4", 4, 4)];
    let expected =
        expected.map(|(name, created, changed)| (format!("default/{name}"), created, changed));
    assert_eq!(numbers, expected);
    assert_eq!(header.revision, header.epoch + 5);
    for old in [NEWEST, NEWEST - 1] {
        let rejected = list(&driver, memories(old)).await.expect_err("refused");
        assert_eq!(rejected.reason(), Reason::FutureRevision);
    }
    let written = driver.commit(vec![create("new", "1")]).await;
    let newest = written.expect("written").header.revision;
    assert_eq!(newest, header.revision + 1);
    driver.close().await;
    let again = open(&Options::new(&file)).expect("opened again");
    let there = again.header().await.expect("header");
    assert_eq!((there.epoch, there.revision), (header.epoch, newest));
    assert_eq!(
        list(&again, memories(0)).await.expect("listed").records,
        listed.records
    );
    again.close().await;
}

#[tokio::test]
async fn object_without_newest_change_is_reported() {
    let (_folder, file) = former();
    Connection::open(&file)
        .and_then(|store| store.execute("DELETE FROM log WHERE path = 'default/m3'", []))
        .expect("damaged");
    for words in ["memories.ark.mckinsey.com default/m3", "restore a backup"] {
        let rejected = open(&Options::new(&file)).expect_err("refused").to_string();
        assert!(rejected.contains(words), "{rejected}");
    }
}

#[tokio::test]
async fn clock_before_2026_renumbers_above_old_epoch() {
    let (_folder, file) = former();
    let options = Options {
        clock: crate::driver::store::clock,
        ..Options::new(&file)
    };
    let driver = open(&options).expect("opened");
    let header = driver.header().await.expect("header");
    assert_eq!(header.epoch, 239_452, "one above the old epoch's number");
    driver.close().await;
}

#[tokio::test]
async fn backup_of_earlier_release_opens_in_a_new_epoch() {
    let (folder, file) = former();
    let copy = folder.path().join("copy.db");
    backup::run(&file, &copy).expect("copied");
    let original = open(&Options::new(&file)).expect("opened");
    let first = original.header().await.expect("header");
    let restored = open(&Options::new(&copy)).expect("opened");
    let second = restored.header().await.expect("header");
    assert!(second.epoch > first.revision && second.revision <= MAX_REVISION);
    assert_eq!(
        list(&restored, memories(0))
            .await
            .expect("listed")
            .records
            .len(),
        3
    );
    restored.close().await;
    original.close().await;
}

#[tokio::test]
async fn epoch_begins_above_all_revisions_of_the_store() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let file = folder.path().join("ark.db");
    open(&Options::new(&file)).expect("made").close().await;
    for (newest, expected) in [
        (LAST_IMPORT + 7, Ok(LAST_IMPORT + 8)),
        (MAX_REVISION, Err("save it with `arkctl backup`")),
    ] {
        let sql = "UPDATE store SET epoch = ?1, revision = ?1, compact_revision = ?1, restored = 1";
        Connection::open(&file)
            .and_then(|store| store.execute(sql, [newest]))
            .expect("moved on");
        match (open(&Options::new(&file)), expected) {
            (Ok(driver), Ok(expected)) => {
                assert_eq!(driver.header().await.expect("header").epoch, expected);
                driver.close().await;
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (opened, expected) => panic!("{expected:?}, and it is {opened:?}"),
        }
    }
}

#[tokio::test]
async fn writes_above_last_revision_are_rejected() {
    let store = Store::new();
    write_to_the_last_revision(&*store.driver).await;
}

/// Database files in a temporary directory.
struct Files {
    folder: TempDir,
    count: usize,
}

impl Files {
    fn next(&mut self) -> PathBuf {
        self.count += 1;
        self.folder.path().join(format!("{}.db", self.count))
    }
}

fn quiet(path: &PathBuf, clock: fn() -> SystemTime) -> Options {
    Options {
        clock,
        ballast_bytes: 0,
        low_space_bytes: 0,
        ..Options::new(path)
    }
}

#[async_trait]
impl Stores for Files {
    type Store = (PathBuf, Arc<SqliteDriver>);

    async fn make(&mut self, clock: fn() -> SystemTime) -> Self::Store {
        let path = self.next();
        let driver = open(&quiet(&path, clock)).expect("made");
        (path, driver)
    }

    async fn restore(&mut self, from: &mut Self::Store, clock: fn() -> SystemTime) -> Self::Store {
        let path = self.next();
        backup::run(&from.0, &path).expect("copied");
        let driver = open(&quiet(&path, clock)).expect("restored");
        (path, driver)
    }

    fn driver(&self, store: &Self::Store) -> Arc<dyn Driver> {
        store.1.clone()
    }
}

// One test for all properties, because the histories share a global clock.
#[tokio::test]
async fn revisions_stay_in_range_and_are_unique_over_random_histories() {
    for seed in 0..12 {
        for mode in [Clock::OneDay, Clock::Jumps] {
            let folder = tempfile::tempdir().expect("temporary directory");
            walk(Files { folder, count: 0 }, seed, mode).await;
        }
    }
}

#[tokio::test]
async fn store_created_in_place_of_another_begins_above_it() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let file = folder.path().join("ark.db");
    let mut newest = 0;
    for _ in 0..3 {
        let driver = open(&Options::new(&file)).expect("made");
        let listed = list(&driver, all()).await.expect("listed");
        assert!(listed.header.epoch > newest);
        let written = driver.commit(vec![create("a", "1")]).await;
        newest = written.expect("written").header.revision;
        driver.close().await;
        for suffix in ["", "-wal", "-shm", ".lock", ".position", ".ballast"] {
            let _ = std::fs::remove_file(folder.path().join(format!("ark.db{suffix}")));
        }
    }
}
