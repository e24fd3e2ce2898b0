//! Invalid responses are rejected.

use std::sync::Arc;

use api_types::revision::Revision;
use backend_proto::limits::MAX_REVISION;
use backend_proto::v1::{self, event::Type, op_result, op_result::conflict::Cause};
use bytes::Bytes;

use super::{change, header, record, revision, verdict};
use crate::backend::error::{Error, Outcome, Reason};
use crate::backend::key::{ObjectKey, ResourceId};
use crate::backend::record::{Action, Index, WriteOp};

fn key(name: &str) -> Option<v1::Key> {
    Some(v1::Key {
        group: "example.com".to_owned(),
        resource: "things".to_owned(),
        namespace: "a".to_owned(),
        name: name.to_owned(),
    })
}

fn stored(name: &str, revision: i64) -> v1::Record {
    v1::Record {
        key: key(name),
        revision,
        ..v1::Record::default()
    }
}

#[track_caller]
fn rejected<T: std::fmt::Debug>(checked: Result<T, Error>) -> Error {
    let error = checked.expect_err("broken");
    assert_eq!(error.reason, Reason::Broken, "{error}");
    error
}

#[test]
fn revisions_out_of_range_are_rejected() {
    for good in [1, MAX_REVISION] {
        assert_eq!(revision(good).expect("a revision").get(), good as u64);
    }
    for bad in [0, -1, i64::MIN, MAX_REVISION + 1, i64::MAX] {
        rejected(revision(bad));
        rejected(record(stored("x", bad), None));
        for field in 0..3 {
            let mut fields = [1; 3];
            fields[field] = bad;
            let [epoch, revision, compact_revision] = fields;
            rejected(header(Some(v1::Header {
                store_id: "s".to_owned(),
                epoch,
                revision,
                compact_revision,
            })));
        }
    }
    rejected(record(stored("x", 0), None));
}

#[test]
fn unordered_header_revisions_are_rejected() {
    for (numbers, good) in [
        ([1, 1, 1], true),
        ([1, 5, 9], true),
        ([0, 1, 1], false),
        ([2, 1, 3], false),
        ([1, 4, 3], false),
    ] {
        let [epoch, compact_revision, revision] = numbers;
        let checked = header(Some(v1::Header {
            store_id: "s".to_owned(),
            epoch,
            revision,
            compact_revision,
        }));
        if good {
            checked.expect("in order");
        } else {
            rejected(checked);
        }
    }
}

#[test]
fn header_without_store_is_rejected() {
    rejected(header(None));
    rejected(header(Some(v1::Header::default())));
}

#[test]
fn records_with_invalid_keys_are_rejected() {
    for name in ["", "b/c", "b\0"] {
        rejected(record(stored(name, 1), None));
    }
    let without = v1::Record {
        key: None,
        ..stored("x", 1)
    };
    rejected(record(without, None));
}

#[test]
fn changes_without_their_record_are_rejected() {
    let event = |kind: Type, revision: i64, record: Option<v1::Record>| v1::Event {
        revision,
        r#type: kind.into(),
        record,
        ..v1::Event::default()
    };
    let cases = [
        (Type::Created, 7, Some(stored("x", 7)), true),
        (Type::Updated, 7, Some(stored("x", 7)), true),
        (Type::Deleted, 7, Some(stored("x", 6)), true),
        (Type::Updated, 7, Some(stored("x", 6)), false),
        (Type::Deleted, 7, Some(stored("x", 7)), false),
        (Type::Unspecified, 7, Some(stored("x", 7)), false),
        (Type::Created, 7, None, false),
        (Type::Created, 0, Some(stored("x", 0)), false),
    ];
    for (kind, revision, record, sound) in cases {
        let checked = change(event(kind, revision, record));
        assert_eq!(checked.is_ok(), sound, "{kind:?} {revision}: {checked:?}");
    }
}

#[test]
fn invalid_verdict_leaves_the_outcome_unknown() {
    let op = |action: Action, expected: u64| WriteOp {
        resource: ResourceId::new("example.com", "things"),
        key: ObjectKey::new("a", "x"),
        action,
        expected: Revision::new(expected),
        origin: Arc::default(),
    };
    let value = || (Bytes::from_static(b"{}"), Index::default());
    let create = || {
        let (value, index) = value();
        Action::Create { value, index }
    };
    let update = || {
        let (value, index) = value();
        Action::Update { value, index }
    };
    let result = |verdict| v1::OpResult {
        verdict: Some(verdict),
    };
    let applied = |revision: i64, deleted: Option<v1::Record>| {
        op_result::Verdict::Applied(op_result::Applied {
            revision,
            deleted,
            ..op_result::Applied::default()
        })
    };
    let conflict = |cause: Cause, current: Option<v1::Record>| {
        op_result::Verdict::Conflict(op_result::Conflict {
            cause: cause.into(),
            current,
        })
    };
    let cases = [
        (create(), 0, applied(0, None)),
        (create(), 0, applied(i64::MAX, None)),
        (Action::Delete, 0, applied(9, Some(stored("y", 8)))),
        (create(), 0, conflict(Cause::NotFound, None)),
        (create(), 0, conflict(Cause::Exists, Some(stored("y", 8)))),
        (update(), 0, conflict(Cause::Revision, Some(stored("x", 8)))),
        (update(), 0, conflict(Cause::Uid, Some(stored("x", 8)))),
        (update(), 7, conflict(Cause::Exists, Some(stored("x", 8)))),
        (
            update(),
            7,
            conflict(Cause::Revision, Some(stored("x", -8))),
        ),
    ];
    for (action, expected, reported) in cases {
        let error = rejected(verdict(&op(action, expected), result(reported)));
        assert_eq!(error.outcome, Outcome::Unknown);
    }
    let sound = conflict(Cause::Revision, Some(stored("x", 8)));
    verdict(&op(update(), 7), result(sound)).expect("sound");
}
