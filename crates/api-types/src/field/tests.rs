//! Texts of field errors, as kube-apiserver prints them.

use serde_json::json;

use super::{Error, Path, Value, aggregate};

fn check(error: &Error, reason: &str, text: &str) {
    assert_eq!(error.kind.reason(), reason);
    assert_eq!(error.to_string(), text);
    let body = text
        .strip_prefix(&error.field)
        .and_then(|rest| rest.strip_prefix(": "));
    assert_eq!(Some(error.body().as_str()), body);
}

#[test]
fn every_error_type_has_its_text() {
    let root = Path::new("spec");
    let at = root.child("f");
    check(
        &Error::not_found(at, "x"),
        "FieldValueNotFound",
        "spec.f: Not found: \"x\"",
    );
    check(
        &Error::required(at, ""),
        "FieldValueRequired",
        "spec.f: Required value",
    );
    check(
        &Error::required(at, "why"),
        "FieldValueRequired",
        "spec.f: Required value: why",
    );
    check(
        &Error::duplicate(at, 3_i64),
        "FieldValueDuplicate",
        "spec.f: Duplicate value: 3",
    );
    check(
        &Error::invalid(at, true, "d"),
        "FieldValueInvalid",
        "spec.f: Invalid value: true: d",
    );
    check(
        &Error::type_invalid(at, 2.5, "d"),
        "FieldValueTypeInvalid",
        "spec.f: Invalid value: 2.5: d",
    );
    check(
        &Error::not_supported(at, "x", &["a", "b\""]),
        "FieldValueNotSupported",
        r#"spec.f: Unsupported value: "x": supported values: "a", "b\"""#,
    );
    check(
        &Error::not_supported::<&str>(at, "x", &[]),
        "FieldValueNotSupported",
        r#"spec.f: Unsupported value: "x""#,
    );
    check(
        &Error::forbidden(at, "no"),
        "FieldValueForbidden",
        "spec.f: Forbidden: no",
    );
    check(
        &Error::internal(at, "broken"),
        "InternalError",
        "spec.f: Internal error: broken",
    );
}

#[test]
fn limit_texts_use_singular_and_plural() {
    let at = Path::new("f");
    let long = "FieldValueTooLong";
    check(
        &Error::too_long(at, 1),
        long,
        "f: Too long: may not be more than 1 byte",
    );
    check(
        &Error::too_long(at, 9),
        long,
        "f: Too long: may not be more than 9 bytes",
    );
    check(
        &Error::too_long_characters(at, 9),
        long,
        "f: Too long: may not be more than 9 characters",
    );
    check(
        &Error::too_short(at, 1),
        "FieldValueTooShort",
        "f: Too short: must be at least 1 character",
    );
    check(
        &Error::too_many(at, 5, 1),
        "FieldValueTooMany",
        "f: Too many: 5: must have at most 1 item",
    );
    check(
        &Error::too_few(at, 1, 2),
        "FieldValueTooFew",
        "f: Too few: 1: must have at least 2 items",
    );
}

#[test]
fn invalid_values_print_as_in_go() {
    let shown = |value: Value| Error::invalid("f", value, "").to_string();
    for (value, want) in [
        (json!("a\"b\n"), r#""a\"b\n""#),
        (json!(null), "null"),
        (json!(1e6), "1e+06"),
        (json!(1_234_567.5), "1.2345675e+06"),
        (json!(1e-5), "1e-05"),
        (json!(-7), "-7"),
        (json!({"b": "<", "a": [1.5]}), r#"{"a":[1.5],"b":"\u003c"}"#),
    ] {
        assert_eq!(
            shown(Value::from(&value)),
            format!("f: Invalid value: {want}")
        );
    }
    assert_eq!(shown(Value::omitted()), "f: Invalid value");
    assert_eq!(
        shown(Value::from(["x".to_owned()].as_slice())),
        r#"f: Invalid value: ["x"]"#
    );
}

#[test]
fn paths_print_names_indexes_and_keys() {
    let nil = Path::nil();
    assert_eq!(nil.to_string(), "<nil>");
    assert_eq!(nil.child("a").to_string(), "a");
    assert_eq!(nil.index(2).to_string(), "[2]");
    let root = Path::new("a");
    assert_eq!(
        root.key("k/v").child("b").index(0).to_string(),
        "a[k/v].b[0]"
    );
    assert_eq!(root.child("").to_string(), "a[]");
}

#[test]
fn aggregate_contains_each_text_once() {
    let one = Error::required("a", "");
    let two = Error::forbidden("b", "no");
    assert_eq!(aggregate(&[]), "");
    assert_eq!(aggregate(&[one.clone(), one.clone()]), "a: Required value");
    assert_eq!(
        aggregate(&[one.clone(), two, one]),
        "[a: Required value, b: Forbidden: no]"
    );
}
