//! Tests of verdicts, revisions and retries.

use backend_proto::v1::Op;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::event::Type;
use backend_proto::v1::op_result::conflict::Cause;
use bytes::Bytes;
use sidecar::driver::Driver as _;

use crate::driver::store::{BASE, Store, applied, conflict, create, delete, key, refused, update};

#[tokio::test]
async fn batch_numbers_winners_and_returns_conflicts_to_losers() {
    let store = Store::new();
    store.apply(create("a/taken", "old")).await;
    let expecting = |op: Op, revision: i64| Op {
        expected_revision: revision,
        ..op
    };
    let with_uid = |op: Op, uid: &str| Op {
        expected_uid: uid.to_owned(),
        ..op
    };
    let cases = [
        (create("a/new", "1"), None),
        (create("a/taken", "1"), Some((Cause::Exists, true))),
        (update("a/gone", "1"), Some((Cause::NotFound, false))),
        (delete("b/gone"), Some((Cause::NotFound, false))),
        (
            expecting(update("a/taken", "1"), BASE + 9),
            Some((Cause::Revision, true)),
        ),
        (
            with_uid(delete("a/taken"), "another"),
            Some((Cause::Uid, true)),
        ),
        (create("c", "1"), None),
        (
            with_uid(
                expecting(update("a/taken", "new"), BASE + 1),
                "uid of a/taken",
            ),
            None,
        ),
    ];
    let ops = cases.iter().map(|(op, _)| op.clone()).collect();
    let committed = store.commit(ops).await;
    let mut expected = BASE + 1;
    for ((op, lost), result) in cases.iter().zip(&committed.results) {
        match lost {
            None => {
                expected += 1;
                assert_eq!(applied(result).revision, expected, "{op:?}");
            }
            Some((cause, carries)) => {
                let current = carries.then(|| Bytes::from_static(b"old"));
                assert_eq!(conflict(result), (*cause, current), "{op:?}");
            }
        }
    }
    assert_eq!(committed.header.revision, expected);
    let revisions: Vec<i64> = committed.events.iter().map(|e| e.revision).collect();
    assert_eq!(revisions, [BASE + 2, BASE + 3, BASE + 4]);
    assert_eq!(store.log(BASE + 1).await, committed.events);
}

#[tokio::test]
async fn update_with_stored_bytes_is_a_noop() {
    let store = Store::new();
    let created = store.apply(create("a/x", "same")).await;
    let committed = store.commit(vec![update("a/x", "same")]).await;
    let verdict = applied(&committed.results[0]);
    assert!(verdict.noop);
    assert_eq!(verdict.revision, created);
    assert_eq!(committed.header.revision, created);
    assert!(committed.events.is_empty());
}

#[tokio::test]
async fn delete_returns_the_last_record() {
    let store = Store::new();
    store.apply(create("a/x", "1")).await;
    let updated = store.apply(update("a/x", "2")).await;
    let committed = store.commit(vec![delete("a/x")]).await;
    let verdict = applied(&committed.results[0]);
    let deleted = verdict.deleted.as_ref().expect("the deleted record");
    assert_eq!((deleted.revision, &deleted.value[..]), (updated, &b"2"[..]));
    assert_eq!(deleted.create_revision, BASE + 1);
    let event = &committed.events[0];
    assert_eq!(event.r#type(), Type::Deleted);
    assert_eq!(event.previous_revision, updated);
    assert_eq!(store.log(updated).await, committed.events);
    let (_, found) = store.driver.get(&key("a/x"), 0).await.expect("get");
    assert_eq!(found, None);
}

#[tokio::test]
async fn retry_gets_first_verdict_after_restart() {
    let mut store = Store::new();
    let with_id = |op: Op, id: u8| Op {
        op_id: Bytes::from(vec![id; 16]),
        ..op
    };
    let first = store.apply(with_id(create("a/x", "1"), 1)).await;
    store.apply(with_id(update("a/x", "2"), 2)).await;
    let gone = store.apply(with_id(delete("a/x"), 3)).await;
    store.reopen().await;
    for (op, revision, deleted) in [
        (create("a/x", "1"), first, None),
        (update("a/x", "2"), first + 1, None),
        (delete("a/x"), gone, Some(Bytes::from_static(b"2"))),
    ] {
        let id = u8::try_from(revision - BASE).expect("small");
        let committed = store.commit(vec![with_id(op, id)]).await;
        let verdict = applied(&committed.results[0]);
        assert!(verdict.replayed);
        assert_eq!(verdict.revision, revision);
        let record = verdict.deleted.as_ref();
        assert_eq!(record.map(|record| record.value.clone()), deleted);
        assert!(committed.events.is_empty());
        assert_eq!(committed.header.revision, gone);
    }
}

#[tokio::test]
async fn malformed_operations_are_rejected_individually() {
    let store = Store::new();
    let keyed = |path: &str| create(path, "1");
    let nameless = keyed("a/");
    let long = keyed(&format!("a/{}", "n".repeat(254)));
    let slash = keyed("a/b/c");
    let no_key = Op {
        key: None,
        ..keyed("x")
    };
    let no_action = Op {
        action: 0,
        ..keyed("x")
    };
    let huge = Op {
        value: Bytes::from(vec![b'x'; (32 << 20) + 1]),
        ..keyed("x")
    };
    let ops = vec![
        nameless,
        long,
        slash,
        no_key,
        no_action,
        huge,
        keyed("a/fine"),
    ];
    let committed = store.commit(ops).await;
    let reasons: Vec<Reason> = committed.results[..6]
        .iter()
        .map(|result| refused(result).reason())
        .collect();
    let expected = [
        Reason::Invalid,
        Reason::TooLarge,
        Reason::Invalid,
        Reason::Invalid,
        Reason::Invalid,
        Reason::TooLarge,
    ];
    assert_eq!(reasons, expected);
    assert_eq!(applied(&committed.results[6]).revision, BASE + 1);
}

#[tokio::test]
async fn values_are_returned_byte_for_byte() {
    let mut store = Store::new();
    let values = [
        "",
        "\0\u{1}\u{10ffff}",
        "{\"n\":9007199254740993,\"s\":\"\\u0000\"}",
    ];
    for (number, value) in values.iter().enumerate() {
        store.apply(create(&format!("a/{number}"), value)).await;
    }
    let large = "x".repeat(10 << 20);
    store.apply(create("a/large", &large)).await;
    store.reopen().await;
    for (number, value) in values.iter().copied().chain([large.as_str()]).enumerate() {
        let name = if number < 3 {
            number.to_string()
        } else {
            "large".to_owned()
        };
        let found = store.driver.get(&key(&format!("a/{name}")), 0).await;
        let record = found.expect("get").1.expect("record");
        assert!(record.value == value.as_bytes(), "value {name}");
        assert_eq!(record.index.expect("index").uid, format!("uid of a/{name}"));
    }
}
