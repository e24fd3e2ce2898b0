//! Tests of rejected files, damage, restarts and backups.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backend_proto::v1::Record;
use backend_proto::v1::backend_error::Reason;
use backend_sqlite::{Options, backup};
use rusqlite::Connection;
use sidecar::driver::Driver as _;

use crate::driver::store::{
    BASE, Store, all, applied, clock, create, delete, key, list, open, path, refused, update,
};

fn rejection(path: &Path) -> String {
    let error = open(&Options::new(path)).expect_err("refused");
    let line = error.to_string();
    assert!(
        !line.contains('\n') && line.contains(&*path.to_string_lossy()),
        "{line}"
    );
    line
}

#[tokio::test]
async fn second_process_is_rejected_with_pid_of_first() {
    let store = Store::new();
    let line = rejection(&store.path());
    assert!(
        line.contains(&format!("process {}", std::process::id())),
        "{line}"
    );
    store.driver.close().await;
    open(&Options::new(store.path()))
        .expect("free again")
        .close()
        .await;
}

#[tokio::test]
async fn foreign_and_newer_files_are_rejected_unchanged() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let text = folder.path().join("text.db");
    std::fs::write(&text, "this is a letter, not a database").expect("write");
    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign)
        .and_then(|file| file.execute_batch("CREATE TABLE t (x)"))
        .expect("a database of somebody else");
    let newer = folder.path().join("newer.db");
    open(&Options::new(&newer)).expect("new").close().await;
    Connection::open(&newer)
        .and_then(|file| file.pragma_update(None, "user_version", 99))
        .expect("a newer schema");
    let missing = folder.path().join("missing/ark.db");
    for (path, words) in [
        (&text, "not a SQLite database"),
        (&foreign, "belongs to another program"),
        (&newer, "schema version 99"),
        (&missing, "does not exist"),
    ] {
        let before = std::fs::read(path).ok();
        let line = rejection(path);
        assert!(line.contains(words), "{line}");
        let untouched = std::fs::read(path).ok() == before;
        assert!(untouched, "{} changed", path.display());
    }
}

#[tokio::test]
async fn schema_version_that_mismatches_tables_is_rejected() {
    let folder = tempfile::tempdir().expect("temporary directory");
    for (version, words) in [
        (-1, "schema version -1, which no program made"),
        (0, "schema version 0, which no program made"),
        (1, "schema version 1, and its tables are others"),
        (2, "schema version 2, and its tables are others"),
        (3, "schema version 3, and its tables are others"),
        (4, "schema version 4, and its tables are others"),
    ] {
        let path = folder.path().join(format!("{version}.db"));
        open(&Options::new(&path)).expect("made").close().await;
        Connection::open(&path)
            .and_then(|file| file.pragma_update(None, "user_version", version))
            .expect("changed");
        let line = rejection(&path);
        assert!(line.contains(words), "{line}");
        assert!(line.ends_with("restore a backup"), "{line}");
    }
}

#[tokio::test]
async fn database_without_store_row_is_neither_marked_nor_copied() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("ark.db");
    open(&Options::new(&path)).expect("made").close().await;
    Connection::open(&path)
        .and_then(|file| file.execute("DELETE FROM store", []))
        .expect("damaged");
    for failed in [
        backup::mark(&Options::new(&path)),
        backup::run(&path, &folder.path().join("copy.db")),
    ] {
        let line = failed.expect_err("refused").to_string();
        assert!(line.contains("the table `store` is empty"), "{line}");
    }
}

#[tokio::test]
async fn damaged_store_row_is_rejected() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let sound = folder.path().join("sound.db");
    let driver = open(&Options::new(&sound)).expect("made");
    let written = driver.commit(vec![create("a/x", "1")]).await;
    let revision = written.expect("written").header.revision;
    driver.close().await;
    let above = format!("epoch = {}", revision + 1);
    let older = format!("revision = {}", revision - 1);
    for (damage, words) in [
        (above.as_str(), "has epoch"),
        ("compact_revision = revision + 1", "in that order"),
        ("epoch = -1", "has epoch -1"),
        ("revision = -5", "revision -5"),
        ("revision = 9007199254740992", "from 1 to 9007199254740991"),
        (older.as_str(), "there are changes up to"),
    ] {
        let path = folder.path().join("damaged.db");
        std::fs::copy(&sound, &path).expect("copied");
        let sql = format!("PRAGMA ignore_check_constraints = 1; UPDATE store SET {damage}");
        Connection::open(&path)
            .and_then(|file| file.execute_batch(&sql))
            .expect("damaged");
        let line = rejection(&path);
        assert!(line.contains(words), "{damage}: {line}");
        assert!(line.ends_with("restore a backup"), "{damage}: {line}");
    }
}

#[tokio::test]
async fn damaged_value_is_reported_and_others_are_served() {
    let store = Store::new();
    for name in ["a/good", "a/victim"] {
        store.apply(create(name, "a value to be damaged")).await;
    }
    Connection::open(store.path())
        .and_then(|file| {
            let sql = "UPDATE log SET value = CAST('b' || substr(value, 2) AS BLOB) \
                       WHERE path = 'a/victim'";
            file.execute(sql, [])
        })
        .expect("damage");
    let named = |record: &Record| {
        let expected = "the stored value of queries.ark.mckinsey.com a/victim at revision";
        assert!(record.unreadable.starts_with(expected), "{record:?}");
        assert_eq!(record.value, "", "a damaged value is left out");
    };
    let (_, damaged) = store.driver.get(&key("a/victim"), 0).await.expect("get");
    named(&damaged.expect("there"));
    let listed = store.list(all()).await.expect("list").records;
    assert_eq!(
        (path(&listed[0]), &listed[0].unreadable),
        ("a/good".to_owned(), &String::new())
    );
    named(&listed[1]);
    let events = store.log(BASE).await;
    named(events[1].record.as_ref().expect("a record"));
    store.apply(update("a/good", "still writable")).await;

    let rejection = store.commit(vec![update("a/victim", "from what?")]).await;
    assert_eq!(refused(&rejection.results[0]).reason(), Reason::Corrupt);
    let gone = store.commit(vec![delete("a/victim")]).await;
    named(applied(&gone.results[0]).deleted.as_ref().expect("deleted"));
    assert_eq!(store.names(all()).await, ["a/good"]);
}

#[tokio::test]
async fn closed_store_is_a_single_file() {
    let mut store = Store::new();
    for round in 0..40 {
        store.apply(create(&format!("a/{round}"), "v")).await;
        store.driver.close().await;
        let log = store.folder.path().join("ark.db-wal");
        assert!(!log.exists(), "round {round}: a copy of the file is short");
        store.open_again();
    }
}

/// Returns the bytes that this thread has read from files.
fn read_by_this_thread() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").expect("Linux");
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.expect("a count").parse().expect("a number")
}

#[tokio::test]
async fn opening_does_not_read_the_objects() {
    let mut store = Store::new();
    let value = "v".repeat(2600);
    for batch in 0..200 {
        let ops = (0..250).map(|n| create(&format!("a/{batch:03}-{n:03}"), &value));
        store.commit(ops.collect()).await;
    }
    store.driver.close().await;
    let size = std::fs::metadata(store.path()).expect("a file").len();
    assert!(size > 50_000 * 2600, "{size}");
    let before = read_by_this_thread();
    store.open_again();
    // Count bytes instead of time, which depends on the load of the machine: opening must not read
    // the objects.
    let read = read_by_this_thread() - before;
    assert!(0 < read && read < 1 << 20, "{read} bytes of {size}");
    assert_eq!(store.list(all()).await.expect("list").records.len(), 50_000);
}

#[tokio::test]
async fn backup_under_load_is_a_consistent_snapshot() {
    let store = Store::new();
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    {
        let (driver, stop) = (store.driver.clone(), stop.clone());
        tasks.spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let ops = vec![
                    create(&format!("a/{number:06}"), "left"),
                    create(&format!("b/{number:06}"), "right"),
                ];
                driver.commit(ops).await.expect("commit");
                number += 1;
            }
            number
        });
    }
    let copy = store.folder.path().join("copy.db");
    let target = copy.clone();
    let path = store.path();
    while store.log(BASE).await.len() < 100 {
        tokio::task::yield_now().await;
    }
    tokio::task::spawn_blocking(move || backup::run(&path, &target))
        .await
        .expect("task")
        .expect("backup");
    stop.store(true, Ordering::Relaxed);
    let written = tasks.join_next().await.expect("a task").expect("writer");

    let again = store.folder.path().join("again.db");
    std::fs::copy(&copy, &again).expect("copied");
    let early = |path: &Path| Options {
        clock,
        ..Options::new(path)
    };
    let restored = open(&early(&copy)).expect("the copy opens");
    let listed = list(&restored, all()).await.expect("list");
    assert!(listed.records.len() >= 100 && listed.records.len() <= 2 * written);
    assert_eq!(listed.records.len() % 2, 0, "batches are whole");
    let header = restored.header().await.expect("header");
    assert!(
        header.epoch > BASE + 100 && header.epoch == header.revision,
        "{header:?}"
    );
    assert_eq!(
        header.store_id,
        store.driver.header().await.expect("header").store_id
    );
    restored.close().await;
    // The epoch that began on the first copy is unknown to the second copy, but known to clients.
    let mut newest = header.revision;
    for _ in 0..2 {
        let once_more = store.folder.path().join("once-more.db");
        std::fs::copy(&again, &once_more).expect("copied");
        let restored = open(&Options::new(&once_more)).expect("the copy opens");
        let header = restored.header().await.expect("header");
        assert!(header.compact_revision > newest, "{header:?}");
        let written = restored.commit(vec![create("new", "1")]).await;
        newest = written.expect("a write").header.revision;
        restored.close().await;
    }
    let again = backup::run(&store.path(), &copy).expect_err("exists");
    assert!(again.to_string().contains("never overwrites"), "{again}");
}

#[tokio::test]
async fn backup_of_damaged_store_fails_and_names_the_object() {
    let store = Store::new();
    for number in 0..100 {
        let name = format!("a/{number:02}");
        store.apply(create(&name, &"v".repeat(3000))).await;
    }
    Connection::open(store.path())
        .and_then(|file| {
            let sql = "UPDATE log SET value = CAST('b' || substr(value, 2) AS BLOB) \
                       WHERE path = 'a/07'";
            file.execute(sql, [])
        })
        .expect("damage");
    let copy = store.folder.path().join("copy.db");
    let count = || {
        std::fs::read_dir(store.folder.path())
            .expect("a directory")
            .count()
    };
    let before = count();
    let line = backup::run(&store.path(), &copy).expect_err("damaged");
    let line = line.to_string();
    assert!(
        line.contains("1 stored values fail their checksum"),
        "{line}"
    );
    assert!(line.contains("queries.ark.mckinsey.com a/07"), "{line}");
    assert_eq!(count(), before, "no copy, and no part of one");
    // Follow the remedy.
    store.apply(delete("a/07")).await;
    let head = store.driver.header().await.expect("header").revision;
    store.driver.compact(head).await.expect("compacted");
    backup::run(&store.path(), &copy).expect("a backup");

    // A damaged page.
    store.driver.close().await;
    let mut bytes = std::fs::read(store.path()).expect("a file");
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 100].fill(0xff);
    std::fs::write(store.path(), bytes).expect("written");
    let second = store.folder.path().join("second.db");
    let line = backup::run(&store.path(), &second).expect_err("damaged");
    let line = line.to_string();
    assert!(
        line.contains("ark.db") && line.contains("restore a backup"),
        "{line}"
    );
    assert!(!second.exists());
}

#[tokio::test]
async fn backup_names_the_file_that_cannot_be_written() {
    let store = Store::new();
    store.apply(create("a/x", "1")).await;
    let nowhere = store.folder.path().join("nowhere/copy.db");
    let line = backup::run(&store.path(), &nowhere).expect_err("no directory");
    assert!(line.to_string().contains("nowhere/copy.db"), "{line}");
    // Parts of an interrupted copy are replaced, and a foreign journal is not applied to it.
    let copy = store.folder.path().join("copy.db");
    for suffix in ["", "-journal"] {
        let left = store.folder.path().join(format!("copy.db.partial{suffix}"));
        std::fs::write(left, [0xd9; 2000]).expect("written");
    }
    backup::run(&store.path(), &copy).expect("a backup");
    let left = std::fs::read_dir(store.folder.path()).expect("a directory");
    let names = left.map(|entry| entry.expect("an entry").file_name());
    let names: Vec<_> = names
        .filter(|name| name.to_string_lossy().contains("partial"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn damage_outside_of_a_value_is_reported() {
    let store = Store::new();
    for name in ["a/x", "a/y", "a/z"] {
        store.apply(create(name, "1")).await;
    }
    for (damage, name) in [
        ("UPDATE log SET time = time + 1 WHERE path = 'a/x'", "a/x"),
        (
            "UPDATE current SET revision = revision + 1 WHERE path = 'a/y'",
            "a/y",
        ),
        (
            "UPDATE log SET create_revision = 1 WHERE path = 'a/z'",
            "a/z",
        ),
    ] {
        let file = Connection::open(store.path()).expect("opened");
        file.execute(damage, []).expect("damaged");
        drop(file);
        let listed = store.list(all()).await.expect("list").records;
        let damaged = listed.iter().find(|record| path(record) == name);
        let damaged = damaged.expect("a list is not short");
        assert!(!damaged.unreadable.is_empty(), "{damaged:?}");
        let (_, found) = store.driver.get(&key(name), 0).await.expect("get");
        assert!(!found.expect("there").unreadable.is_empty(), "{name}");
    }
    Connection::open(store.path())
        .and_then(|file| file.execute("DELETE FROM log WHERE path = 'a/x'", []))
        .expect("damaged");
    let listed = store.list(all()).await.expect("list").records;
    assert_eq!(listed.len(), 3, "a list is not short");
    assert!(listed[0].unreadable.contains("is missing"), "{listed:?}");
    store.apply(delete("a/x")).await;
    store
        .log(store.driver.header().await.expect("header").revision - 1)
        .await;
}
