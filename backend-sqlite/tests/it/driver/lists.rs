//! Tests of ranges, order, limits and snapshots.

use backend_proto::v1::Range;
use backend_proto::v1::backend_error::Reason;
use sidecar::driver::{Driver as _, ListPart, ListQuery};
use tokio::sync::mpsc;

use crate::driver::store::{BASE, Store, all, at, create, delete, key, path, update};

const PATHS: [&str; 7] = ["a-b/x", "a/x", "a/y", "a/z", "b/x", "c", "d"];

async fn filled() -> Store {
    let store = Store::new();
    for path in PATHS.iter().rev() {
        store.apply(create(path, path)).await;
    }
    store
}

#[tokio::test]
async fn lists_are_in_key_order() {
    let store = filled().await;
    let scoped = |namespace: Option<&str>, name: Option<&str>| ListQuery {
        range: Range {
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            ..all().range
        },
        ..all()
    };
    let after = |path: &str, query: ListQuery| ListQuery {
        after: Some(key(path)),
        ..query
    };
    let cases: [(ListQuery, &[&str]); 10] = [
        (all(), &PATHS),
        (scoped(Some("a"), None), &["a/x", "a/y", "a/z"]),
        (scoped(Some("a-b"), None), &["a-b/x"]),
        (scoped(Some(""), None), &["c", "d"]),
        (scoped(Some("a"), Some("y")), &["a/y"]),
        (scoped(Some(""), Some("d")), &["d"]),
        (scoped(Some("none"), None), &[]),
        (after("a/y", all()), &["a/z", "b/x", "c", "d"]),
        (after("a/y", scoped(Some("a"), None)), &["a/z"]),
        (
            after("a/nothere", all()),
            &["a/x", "a/y", "a/z", "b/x", "c", "d"],
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(store.names(query.clone()).await, expected, "{query:?}");
    }
    let other = Range {
        resource: "agents".to_owned(),
        ..all().range
    };
    let listed = store
        .list(ListQuery {
            range: other,
            ..all()
        })
        .await
        .expect("list");
    assert!(listed.records.is_empty());
    assert_eq!(listed.header.revision, BASE + 7);
}

#[tokio::test]
async fn limited_list_reports_whether_more_follow() {
    let store = filled().await;
    for limit in 1..=8 {
        let listed = store
            .list(ListQuery { limit, ..all() })
            .await
            .expect("list");
        let names: Vec<String> = listed.records.iter().map(path).collect();
        let sent = PATHS.len().min(usize::try_from(limit).expect("small"));
        assert_eq!(names, &PATHS[..sent]);
        assert_eq!(listed.more, limit < 7, "limit {limit}");
    }
}

#[tokio::test]
async fn every_retained_revision_is_readable() {
    let store = Store::new();
    let mut expected: Vec<(i64, Vec<(String, String)>)> = vec![(BASE, Vec::new())];
    let ops = [
        create("a/x", "1"),
        create("a/y", "1"),
        update("a/x", "2"),
        delete("a/y"),
        create("a/y", "3"),
        create("b", "1"),
        update("a/y", "4"),
        delete("a/x"),
        delete("b"),
    ];
    for op in ops {
        let revision = store.apply(op).await;
        let now = store.list(all()).await.expect("list").records;
        let now = now.iter().map(|record| {
            let value = String::from_utf8(record.value.to_vec()).expect("text");
            (path(record), value)
        });
        expected.push((revision, now.collect()));
    }
    for (revision, state) in expected {
        let listed = store.list(at(revision)).await.expect("list");
        assert_eq!(listed.header.revision, revision);
        let found: Vec<(String, String)> = listed
            .records
            .iter()
            .map(|record| (path(record), String::from_utf8_lossy(&record.value).into()))
            .collect();
        assert_eq!(found, state, "at {revision}");
        for name in ["a/x", "a/y", "b"] {
            let (_, record) = store.driver.get(&key(name), revision).await.expect("get");
            let value = record.map(|record| String::from_utf8_lossy(&record.value).into_owned());
            let known = state.iter().find(|(path, _)| path == name);
            assert_eq!(
                value,
                known.map(|(_, value)| value.clone()),
                "{name} at {revision}"
            );
        }
    }
    let future = store.list(at(BASE + 100)).await.expect_err("refused");
    assert_eq!(future.reason(), Reason::FutureRevision);
    assert_eq!(future.current_revision, BASE + 9);
}

#[tokio::test]
async fn long_list_stays_at_its_revision_during_changes() {
    let store = Store::new();
    let value = "v".repeat(100 << 10);
    for number in 0..30 {
        store.apply(create(&format!("a/{number:02}"), &value)).await;
    }
    let (sink, mut parts) = mpsc::channel(1);
    let driver = store.driver.clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { driver.list(all(), sink).await });
    let Some(ListPart::Header(header)) = parts.recv().await else {
        panic!("no header first");
    };
    // After the first chunk was sent, change everything behind it and compact the history.
    for number in 0..30 {
        let name = format!("a/{number:02}");
        let op = if number % 2 == 0 {
            update(&name, "new")
        } else {
            delete(&name)
        };
        store.apply(op).await;
    }
    store.apply(create("a/99", "late")).await;
    store.driver.compact(BASE + 61).await.expect("compact");
    let mut records = Vec::new();
    while let Some(part) = parts.recv().await {
        match part {
            ListPart::Records(chunk) => records.extend(chunk),
            ListPart::End { more } => assert!(!more),
            ListPart::Header(_) => panic!("two headers"),
        }
    }
    let listed = tasks.join_next().await.expect("a task");
    listed.expect("task").expect("list");
    assert_eq!(header.revision, BASE + 30);
    assert_eq!(records.len(), 30);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(path(record), format!("a/{number:02}"));
        assert!(record.revision <= BASE + 30 && record.value == value.as_bytes());
    }
}

#[tokio::test]
async fn disconnected_reader_ends_the_list() {
    let store = filled().await;
    let (sink, parts) = mpsc::channel(1);
    drop(parts);
    assert_eq!(store.driver.list(all(), sink).await, Ok(()));
}
