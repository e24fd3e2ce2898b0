//! Tests of restored, copied, lost and cut files after a crash: each is served and right, refused
//! with a remedy, or begins a new epoch.

use std::time::Duration;

use backend_sqlite::{Options, backup};
use sidecar::driver::Driver as _;

use crate::driver::image::Image;
use crate::driver::store::{Store, all, create, list, path, update};

/// Name of a fault, and how to apply it.
type Fault<'a> = (&'a str, &'a dyn Fn(&Image));

/// Returns a store with some objects in its log, and those of `before` in its database.
async fn store_with(before: usize, after: usize) -> Store {
    let mut store = Store::new();
    for number in 0..before {
        store.apply(create(&format!("a/{number}"), "before")).await;
    }
    store.reopen().await;
    for number in 0..after {
        let name = format!("a/{}", before + number);
        store.apply(create(&name, "after")).await;
    }
    store
}

async fn names(image: &Image) -> (i64, Vec<String>) {
    let driver = image.open().expect("served");
    let listed = list(&driver, all()).await.expect("list");
    let epoch = driver.header().await.expect("header").epoch;
    driver.close().await;
    (epoch, listed.records.iter().map(path).collect())
}

#[tokio::test]
async fn crash_loses_nothing_and_keeps_the_epoch() {
    let store = store_with(3, 40).await;
    let epoch = store.driver.header().await.expect("header").epoch;
    let image = Image::of(&store);
    let expected = store.names(all()).await;
    for _ in 0..2 {
        assert_eq!(names(&image).await, (epoch, expected.clone()));
    }
}

#[tokio::test]
async fn backup_beside_log_of_a_crash_is_refused() {
    let store = store_with(3, 0).await;
    let copy = store.folder.path().join("copy.db");
    backup::run(&store.path(), &copy).expect("a backup");
    store.apply(create("a/later", "1")).await;
    let image = Image::of(&store);
    image.replace("", &copy);
    let line = image.refused();
    assert!(
        line.contains("ark.db-wal: this write-ahead log belongs to another file"),
        "{line}"
    );
    let marked = backup::mark(&Options::new(image.file("")));
    assert_eq!(marked.expect_err("refused").to_string(), line);
    let copied = backup::run(&image.file(""), &image.file(".copy"));
    assert_eq!(copied.expect_err("refused").to_string(), line);
    assert_eq!(image.refused(), line, "nothing has changed");
    // Follow the remedy.
    image.remove("-wal");
    let (epoch, found) = names(&image).await;
    assert_eq!(found, ["a/0", "a/1", "a/2"]);
    assert!(epoch > store.driver.header().await.expect("header").revision);
}

#[tokio::test]
async fn older_database_beside_newer_log_is_refused() {
    let store = store_with(3, 2).await;
    let older = Image::of(&store);
    // The log begins again after the older copy.
    for number in 0..4 {
        let value = "v".repeat(3 << 20);
        store.apply(create(&format!("b/{number}"), &value)).await;
    }
    let log = store.folder.path().join("ark.db-wal");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while std::fs::metadata(&log).expect("a log").len() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "never idle");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.apply(create("b/last", "1")).await;
    let newer = Image::of(&store);
    newer.replace("", &older.file(""));
    let line = newer.refused();
    assert!(line.contains("belongs to another file"), "{line}");
    // And the other way round.
    let newer = Image::of(&store);
    newer.replace("-wal", &older.file("-wal"));
    let line = newer.refused();
    assert!(line.contains("belongs to another file"), "{line}");
}

#[tokio::test]
async fn lost_commits_begin_a_new_epoch() {
    let store = store_with(3, 40).await;
    let before = store.driver.header().await.expect("header");
    let log = std::fs::read(store.folder.path().join("ark.db-wal")).expect("a log");
    let faults: [Fault<'_>; 8] = [
        ("removed", &|image| image.remove("-wal")),
        ("emptied", &|image| image.truncate("-wal", 0)),
        ("cut", &|image| image.truncate("-wal", log.len() as u64 / 2)),
        ("damaged", &|image| image.flip("-wal", log.len() / 2, 1)),
        ("header damaged", &|image| image.flip("-wal", 20, 1)),
        ("end damaged", &|image| {
            image.flip("-wal", log.len() - 10, 1)
        }),
        ("no position", &|image| image.remove(".position")),
        ("damaged position", &|image| image.flip(".position", 40, 1)),
    ];
    for (fault, apply) in faults {
        let image = Image::of(&store);
        apply(&image);
        let driver = image.open().expect(fault);
        let header = driver.header().await.expect("header");
        assert!(header.epoch > before.revision, "{fault}: {header:?}");
        let listed = list(&driver, all()).await.expect("list");
        assert!(listed.records.len() >= 3, "{fault}");
        let rejected = driver.read_log(before.revision, usize::MAX).await;
        rejected.expect_err("a watch from before must not resume");
        let written = driver.commit(vec![create("new", "1")]).await;
        assert!(written.expect("written").header.revision > before.revision);
        driver.close().await;
        // Only once.
        let (epoch, _) = names(&image).await;
        assert_eq!(epoch, header.epoch, "{fault}");
    }
}

#[tokio::test]
async fn older_copy_after_an_orderly_stop_begins_a_new_epoch() {
    let mut store = store_with(3, 0).await;
    store.driver.close().await;
    let older = Image::of(&store);
    store.open_again();
    store.apply(update("a/0", "newer")).await;
    let revision = store.driver.header().await.expect("header").revision;
    store.driver.close().await;
    let image = Image::of(&store);
    image.replace("", &older.file(""));
    let (epoch, found) = names(&image).await;
    assert_eq!(found.len(), 3);
    assert!(epoch > revision, "{epoch}");
    // The whole directory is not distinguishable, see `new-epoch`.
    let (epoch, _) = names(&older).await;
    assert!(epoch <= revision);
}

#[tokio::test]
async fn damaged_database_beside_lost_log_is_refused() {
    let mut store = store_with(200, 3).await;
    store.reopen().await;
    store.apply(create("a/last", "1")).await;
    let image = Image::of(&store);
    image.remove("-wal");
    let pages = std::fs::metadata(image.file("")).expect("a file").len() / 4096;
    for page in 4..pages {
        image.flip("", usize::try_from(page).expect("small") * 4096 + 3, 0xff);
    }
    let line = image.refused();
    assert!(
        line.contains("restore a backup") && line.contains("ark.db"),
        "{line}"
    );
    let again = image.refused();
    assert_eq!(again, line);
}

#[tokio::test]
async fn cut_database_is_refused() {
    let mut store = store_with(200, 0).await;
    store.driver.close().await;
    let image = Image::of(&store);
    let whole = std::fs::metadata(image.file("")).expect("a file").len();
    for length in [whole - 4096, whole - 1, 4096, 50] {
        let image = Image::of(&store);
        image.truncate("", length);
        let line = image.refused();
        assert!(line.contains("restore a backup"), "{length}: {line}");
    }
    store.open_again();
}

#[tokio::test]
async fn foreign_rollback_journal_is_refused() {
    let mut store = store_with(3, 0).await;
    store.driver.close().await;
    let image = Image::of(&store);
    std::fs::write(image.file("-journal"), [0xd9; 1024]).expect("written");
    let line = image.refused();
    assert!(
        line.contains("ark.db-journal") && line.contains("remove it"),
        "{line}"
    );
    image.remove("-journal");
    assert_eq!(names(&image).await.1.len(), 3);
    store.open_again();
}

#[tokio::test]
async fn second_driver_without_the_lock_is_detected() {
    let store = store_with(1, 0).await;
    std::fs::remove_file(store.folder.path().join("ark.db.lock")).expect("removed");
    let rejected = store.driver.commit(vec![create("a/x", "1")]).await;
    let error = rejected.expect_err("anyone could open the store");
    assert!(
        error.message.contains("ark.db.lock was removed"),
        "{error:?}"
    );
    assert!(error.message.contains("start again"), "{error:?}");
}

#[tokio::test]
async fn crash_during_a_checkpoint_is_recovered() {
    let store = store_with(3, 200).await;
    let expected = store.driver.header().await.expect("header");
    let image = Image::of(&store);
    // A checkpoint writes pages in ascending order: the header comes first, and counts pages that
    // the file does not have yet.
    let log = std::fs::read(image.file("-wal")).expect("a log");
    let header = log[32..].chunks_exact(24 + 4096).rev();
    let mut header = header.filter(|frame| frame[..4] == [0, 0, 0, 1]);
    let header = &header.next().expect("the first page is in the log")[24..];
    let mut database = std::fs::read(image.file("")).expect("a database");
    let pages = u32::from_be_bytes(header[28..32].try_into().expect("four bytes"));
    assert!(u64::from(pages) * 4096 > database.len() as u64);
    database[..4096].copy_from_slice(header);
    std::fs::write(image.file(""), database).expect("written");
    let (epoch, found) = names(&image).await;
    assert_eq!((epoch, found.len()), (expected.epoch, 203));
}
