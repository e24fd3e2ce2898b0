//! Patches and their results, case by case.

mod cost;

use api_types::media_type::PatchType;
use api_types::options::FieldValidation;
use serde_json::{Value, json};

use super::Patch;

fn apply(kind: PatchType, object: &Value, patch: &Value) -> Result<Value, String> {
    let body = kube_json::to_vec(patch);
    let patch = Patch::parse(kind, &body, FieldValidation::Warn).map_err(|it| it.to_string())?;
    patch.apply(object.clone()).map_err(|it| it.to_string())
}

/// `Value::Null` as the expected result means that the patch is rejected.
fn check_json(patch: Value, expected: Value) {
    let object = json!({"a": {"b": [1, 2, 3], "x/y": 1, "n": null}, "s": "t"});
    let shown = patch.to_string();
    let got = apply(PatchType::Json, &object, &Value::Array(vec![patch]));
    match expected {
        Value::Null => {
            let text = "the server rejected our request due to an error in our request";
            assert_eq!(got, Err(text.to_owned()), "{shown}");
        }
        Value::Object(changes) => {
            let mut expected = object;
            for (pointer, value) in changes {
                *expected.pointer_mut(&pointer).unwrap() = value;
            }
            assert_eq!(got, Ok(expected), "{shown}");
        }
        other => panic!("no expectation: {other}"),
    }
}

#[test]
fn json_patch_matches_evanphx_library() {
    let rejected = || Value::Null;
    let op = |op: &str, path: &str, value: Value| json!({"op": op, "path": path, "value": value});
    for (patch, expected) in [
        (op("replace", "/s", json!(2)), json!({"/s": 2})),
        (op("add", "/s", json!(2)), json!({"/s": 2})),
        (op("add", "/a/b/1", json!(9)), json!({"/a/b": [1, 9, 2, 3]})),
        (op("add", "/a/b/-", json!(9)), json!({"/a/b": [1, 2, 3, 9]})),
        (op("add", "/a/b/3", json!(9)), json!({"/a/b": [1, 2, 3, 9]})),
        (
            op("add", "/a/b/-1", json!(9)),
            json!({"/a/b": [1, 2, 3, 9]}),
        ),
        (op("add", "/a/b/4", json!(9)), rejected()),
        (op("add", "/a/b/x", json!(9)), rejected()),
        (op("add", "/no/where", json!(9)), rejected()),
        (op("add", "", json!(9)), rejected()),
        (
            op("replace", "/a/b/-1", json!(9)),
            json!({"/a/b": [1, 2, 9]}),
        ),
        (op("replace", "/a/b/3", json!(9)), rejected()),
        (op("replace", "/a/b/-4", json!(9)), rejected()),
        (op("replace", "", json!(9)), rejected()),
        (op("test", "/s", json!("t")), json!({})),
        (op("test", "/s", json!("u")), rejected()),
        (op("test", "/none", json!(null)), json!({})),
        (op("test", "/a/n", json!(null)), json!({})),
        (op("test", "/none", json!(1)), rejected()),
        (op("test", "/a/b/7", json!(null)), rejected()),
        (op("explode", "/s", json!(1)), rejected()),
        (json!({"op": "test", "path": "/none"}), json!({})),
        (
            json!({"op": "remove", "path": "/a/b/-1"}),
            json!({"/a/b": [1, 2]}),
        ),
        (json!({"op": "remove", "path": "/none"}), rejected()),
        (json!({"op": "remove", "path": "/a/b/3"}), rejected()),
        (json!({"op": "remove"}), rejected()),
        (json!({"path": "/s"}), rejected()),
        (
            json!({"op": "move", "from": "/a/b/2", "path": "/a/b/0"}),
            json!({"/a/b": [3, 1, 2]}),
        ),
        (
            json!({"op": "move", "from": "/none", "path": "/s"}),
            rejected(),
        ),
        (
            json!({"op": "copy", "from": "/a/x~1y", "path": "/s"}),
            json!({"/s": 1}),
        ),
        (
            json!({"op": "copy", "from": "/none", "path": "/s"}),
            json!({"/s": null}),
        ),
    ] {
        check_json(patch, expected);
    }
    let object = json!({"a": 1});
    let added = apply(
        PatchType::Json,
        &object,
        &json!([op("replace", "/new", json!(1))]),
    );
    assert_eq!(added, Ok(json!({"a": 1, "new": 1})));
    let whole = apply(
        PatchType::Json,
        &object,
        &json!([op("replace", "", json!({"b": 2}))]),
    );
    assert_eq!(whole, Ok(json!({"b": 2})));
}

#[test]
fn json_patch_copies_are_bounded() {
    let object = json!({"text": "x".repeat(1 << 20)});
    let copy = json!({"op": "copy", "from": "/text", "path": "/more"});
    let copies = |count: usize| json!(vec![copy.clone(); count]);
    assert!(apply(PatchType::Json, &object, &copies(2)).is_ok());
    assert!(apply(PatchType::Json, &object, &copies(3)).is_err());
}

#[test]
fn merge_patch_merges() {
    for (object, patch, expected) in [
        (json!({"a": 1}), json!({"a": 2}), json!({"a": 2})),
        (json!({"a": 1}), json!({"a": null}), json!({})),
        (
            json!({"a": {"b": 1}}),
            json!({"a": {"c": 2}}),
            json!({"a": {"b": 1, "c": 2}}),
        ),
        (
            json!({"a": [1]}),
            json!({"a": [null, {"k": null}]}),
            json!({"a": [null, {}]}),
        ),
        (
            json!({}),
            json!({"a": {"b": null, "c": {"d": null}}}),
            json!({"a": {"c": {}}}),
        ),
        (
            json!({"a": "s"}),
            json!({"a": {"b": null, "c": 1}}),
            json!({"a": {"c": 1}}),
        ),
        (
            json!({"a": null}),
            json!({"a": {"b": null}}),
            json!({"a": {}}),
        ),
        (json!({"a": {"b": 1}}), json!({"a": 5}), json!({"a": 5})),
        (json!({"a": 1}), json!({}), json!({"a": 1})),
    ] {
        assert_eq!(
            apply(PatchType::Merge, &object, &patch),
            Ok(expected),
            "{patch}"
        );
    }
}

fn check_refused(kind: PatchType, body: &str, validation: FieldValidation, expected: &str) {
    let object = json!({"a": 1});
    let applied = Patch::parse(kind, body.as_bytes(), validation).and_then(|it| it.apply(object));
    let error = applied.unwrap_err();
    assert_eq!(format!("{} {error}", error.code()), expected, "{body}");
}

#[test]
fn invalid_patch_body_is_rejected() {
    use FieldValidation::{Ignore, Warn};
    let json = |body: &str, expected: &str| check_refused(PatchType::Json, body, Warn, expected);
    let into = "json: cannot unmarshal object into Go value of type";
    json("[", "400 invalid JSON patch");
    json(
        "{}",
        &format!("400 error decoding patch: {into} []handlers.jsonPatchOp"),
    );
    check_refused(
        PatchType::Json,
        "{}",
        Ignore,
        &format!("400 {into} jsonpatch.Patch"),
    );
    let many = format!("[{}1]", "{\"op\":\"test\"},".repeat(10_000)).replace(",1]", ",{}]");
    json(
        &many,
        "413 Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
    );
    let merge = |body: &str, expected: &str| check_refused(PatchType::Merge, body, Warn, expected);
    merge("null", "400 Invalid JSON Patch");
    merge("{", "400 invalid JSON patch");
    merge(
        "5",
        "400 error decoding patch: json: cannot unmarshal number into Go value of type map[string]interface {}",
    );
    check_refused(
        PatchType::Apply,
        "{}",
        Warn,
        "415 the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json",
    );
}

fn check_problems(kind: PatchType, body: &str, expected: &[&str]) {
    let patch = Patch::parse(kind, body.as_bytes(), FieldValidation::Warn).unwrap();
    assert_eq!(patch.problems(), expected, "{body}");
    let patch = Patch::parse(kind, body.as_bytes(), FieldValidation::Ignore).unwrap();
    assert_eq!(patch.problems(), [""; 0], "{body}");
}

#[test]
fn strict_validation_covers_patch_body() {
    check_problems(
        PatchType::Json,
        r#"[{"op":"add","op":"add","path":"/a","value":{"x":1},"foo":1}]"#,
        &[
            r#"json patch duplicate field "[0].op""#,
            r#"json patch unknown field "[0].foo""#,
        ],
    );
    check_problems(
        PatchType::Merge,
        r#"{"spec":{"s":1,"s":2}}"#,
        &[r#"duplicate field "spec.s""#],
    );
}
