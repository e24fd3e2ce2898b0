//! What the normaliser replaces and what it leaves.

use serde_json::{Value, json};

use super::transcript;
use crate::run::Record;
use crate::run::capture::{Capture, Head};
use crate::scenario::Step;

fn response(body: &str) -> Record {
    let head = Head {
        status: 200,
        headers: vec![("date".into(), "now".into())],
    };
    let capture = Capture {
        head: Some(head),
        out: body.into(),
        ..Capture::default()
    };
    Record {
        title: "GET x".into(),
        step: Step::default(),
        capture,
    }
}

fn printed(output: &str) -> Record {
    let capture = Capture {
        out: output.into(),
        exit: Some(0),
        ..Capture::default()
    };
    Record {
        title: "kubectl".into(),
        step: Step::default(),
        capture,
    }
}

fn bodies(records: &[Record]) -> Vec<Value> {
    let entries = transcript(records, &["gen-[a-z]{5}".to_owned()]).unwrap();
    let part = |entry: &Value| {
        entry
            .get("body")
            .or_else(|| entry.get("stdout"))
            .cloned()
            .unwrap_or_default()
    };
    entries.iter().map(part).collect()
}

#[test]
fn object_versions_become_ranks_and_collection_versions_the_last_rank() {
    let object = |rv: u32| json!({"kind": "Foo", "metadata": {"resourceVersion": rv.to_string()}});
    let list =
        json!({"kind": "FooList", "metadata": {"resourceVersion": "29"}, "items": [object(20)]});
    let bookmark = json!({"type": "BOOKMARK", "object": object(35)});
    let documents = [object(30), object(10), object(30), list, bookmark];
    let records: Vec<Record> = documents.iter().map(|d| response(&d.to_string())).collect();
    let got = bodies(&records);
    let version = |value: &Value| value["metadata"]["resourceVersion"].clone();
    assert_eq!(
        got[..3].iter().map(version).collect::<Vec<_>>(),
        ["<rv 3>", "<rv 1>", "<rv 3>"]
    );
    assert_eq!(version(&got[3]), "<at rv 2>");
    assert_eq!(version(&got[3]["items"][0]), "<rv 2>");
    assert_eq!(version(&got[4][0]["object"]), "<at rv 3>");
}

/// If it had one, ranks would depend on concurrent writes of other scenarios.
#[test]
fn page_read_as_text_has_no_object_version() {
    use super::revisions::Revisions;
    let mut revisions = Revisions::default();
    for page in [
        r#"{"items":[],"metadata":{"continue":"x","remainingItemCount":2,"resourceVersion":"7"}}"#,
        "items: []\nmetadata:\n  continue: \"x\"\n  remainingItemCount: 2\n  resourceVersion: \"7\"\n",
    ] {
        revisions.collect_text(page);
    }
    assert_eq!(revisions.object("7"), None);
}

#[test]
fn random_values_become_placeholders() {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let check = |text: &str, normal: &str| {
        let got = bodies(&[response(&json!({ "x": text }).to_string())]);
        assert_eq!(got[0]["x"], normal);
    };
    check("a 123e4567-e89b-12d3-a456-426614174000 b", "a <uid 1> b");
    check(&now, "<time>");
    check("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z");
    check("gen-abcde", "<masked>");
    check("https://127.0.0.1:4711/x", "https://<server>/x");
    check(
        "Too large resource version: 999, current: 12",
        "Too large resource version: 999, current: <rv>",
    );
}

#[test]
fn causes_are_sorted() {
    let status = |first: &str, second: &str| {
        let cause = |name: &str| json!({"field": name, "message": "bad", "reason": "R"});
        json!({"kind": "Status", "details": {"causes": [cause(first), cause(second)]},
            "message": format!("x is invalid: [{first}: bad, {second}: bad]")})
    };
    let got = bodies(&[
        response(&status("b", "a").to_string()),
        response(&status("a", "b").to_string()),
    ]);
    assert_eq!(got[0], got[1]);
    assert_eq!(got[0]["message"], "x is invalid: [a: bad, b: bad]");
}

#[test]
fn ages_do_not_shift_columns() {
    let first = printed("NAME   AGE   X\na      5s    1\nb      2m3s  1\n");
    let second = printed("NAME   AGE   X\na      12s   1\nb      119s  1\n");
    let got = bodies(&[first, second]);
    assert_eq!(got[0], got[1]);
}

#[test]
fn protobuf_is_read_to_its_end() {
    let partial = |version: &str| {
        let metadata = [
            b"\x0a\x01n\x32".as_slice(),
            &[u8::try_from(version.len()).expect("short")],
            version.as_bytes(),
            b"\x42\x00\x5a\x06\x0a\x01x\x12\x01y\x72\x01f\x72\x01g",
        ];
        let metadata = metadata.concat();
        let length = u8::try_from(metadata.len()).expect("short");
        let head = b"k8s\0\x0a\x27\x0a\x0emeta.k8s.io/v1\x12\x15PartialObjectMetadata\x12";
        let mut document = [head, &[length + 2, 0x0a, length][..], &metadata].concat();
        document.extend_from_slice(b"\x1a\0\x22\0");
        document
    };
    let record = |bytes: Vec<u8>| {
        let mut record = response("");
        record.capture.out = bytes;
        record
    };
    let document = partial("7");
    let length = u8::try_from(document.len()).expect("short");
    let event = [
        b"\x0a\x05ADDED\x12",
        &[length + 2, 0x0a, length][..],
        &document,
    ]
    .concat();
    let framed = [&[0, 0, 0, length + 11], &*event].concat();
    let want = json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": {
            "name": "n", "resourceVersion": "<rv 1>", "creationTimestamp": null,
            "labels": {"x": "y"}, "finalizers": ["f", "g"],
        },
    });
    let mut cut = document.clone();
    cut.pop();
    let seen = bodies(&[
        record(document),
        record([framed.clone(), framed].concat()),
        record(cut),
    ]);
    let event = json!({"type": "ADDED", "object": want});
    assert_eq!(seen[0], want);
    assert_eq!(seen[1], json!([event, event]));
    assert!(!seen[2].is_object(), "cut: {}", seen[2]);
}

#[test]
fn managers_in_the_right_order_are_compared_as_a_set() {
    let entry = |manager: &str, time: &str| json!({"manager": manager, "operation": "Update", "time": time});
    let object = |entries: Value| json!({"metadata": {"managedFields": entries}}).to_string();
    let (early, late) = ("2999-01-01T00:00:00Z", "2999-01-01T00:00:01Z");
    let first = object(json!([entry("b", early), entry("a", late)]));
    let second = object(json!([entry("a", early), entry("b", early)]));
    let wrong = object(json!([entry("b", early), entry("a", early)]));
    let normal = |text: &str| {
        let body = bodies(&[response(text)]).remove(0);
        let entries = body["metadata"]["managedFields"].as_array().cloned();
        let names = entries.into_iter().flatten();
        names
            .map(|entry| entry["manager"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(normal(&first), normal(&second));
    assert_ne!(normal(&first), normal(&wrong));
}
