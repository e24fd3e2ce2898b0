//! Documents as client-go writes them.

use serde_json::json;

use super::super::document;
use super::*;

const FIELDS: &[Field] = &[
    field(1, "metadata", Shape::Message(OBJECT_META)),
    field(2, "holder", Shape::OptionalText),
    field(3, "time", Shape::MicroTime),
    field(4, "count", Shape::Number),
    field(5, "flag", Shape::Flag),
];

#[test]
fn documents_are_read_as_go_writes_them_in_json() {
    let mut bytes = Vec::new();
    document("x.io/v1", "Foo", &mut bytes, |out| {
        out.message(1, |meta| {
            meta.string(1, "a");
            meta.string(2, "");
            meta.integer(7, 0);
            meta.message(8, |_| {});
            meta.message(9, |time| {
                time.integer(1, 1_704_164_645);
                time.integer(2, 0);
            });
            meta.integer(10, 0);
            for (key, value) in [("k", "v"), ("empty", "")] {
                meta.message(11, |entry| {
                    entry.string(1, key);
                    entry.string(2, value);
                });
            }
            meta.message(13, |owner| {
                owner.string(1, "Bar");
                owner.boolean(6, false);
            });
            meta.string(14, "one");
            meta.string(14, "two");
            meta.message(17, |entry| {
                entry.string(1, "m");
                entry.message(7, |fields| fields.string(1, r#"{"f:a":{}}"#));
            });
        });
        out.string(2, "");
        out.message(3, |time| {
            time.integer(1, -1);
            time.integer(2, 5_000);
        });
        out.integer(4, -3);
        out.boolean(5, false);
        out.double(9, 1.5);
    });
    let object = object(&bytes, FIELDS).unwrap();
    let want = json!({
        "apiVersion": "x.io/v1", "kind": "Foo",
        "metadata": {
            "name": "a",
            "deletionTimestamp": "2024-01-02T03:04:05Z",
            "deletionGracePeriodSeconds": 0,
            "labels": {"k": "v", "empty": ""},
            "ownerReferences": [{"kind": "Bar", "controller": false}],
            "finalizers": ["one", "two"],
            "managedFields": [{"manager": "m", "fieldsV1": {"f:a": {}}}],
        },
        "holder": "",
        "time": "1969-12-31T23:59:59.000005Z",
        "count": -3,
    });
    assert_eq!(object, want);
    for length in 0..bytes.len() {
        // Every prefix is an error or an object, and none panics.
        let _ = super::object(&bytes[..length], FIELDS);
    }
}

#[test]
fn other_bytes_are_rejected() {
    for bytes in [
        &b""[..],
        b"{}",
        b"k8s\0\x0a\xff",
        b"k8s\0\x12\x02\x0a\x05",
        b"k8s\0\x12\x02\x20\xff",
        b"k8s\0\x12\x02\x10\x01",
        b"k8s\0\x12\x04\x12\x02\xff\xfe",
        b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"k8s\0\x0b",
    ] {
        assert_eq!(object(bytes, FIELDS), Err(Malformed), "{bytes:?}");
    }
}
