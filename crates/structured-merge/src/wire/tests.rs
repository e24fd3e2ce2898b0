//! Tests of the serialized form.

use serde_json::{Value, json};

use crate::element::PathElement;
use crate::wire::{FieldsError, FieldsReader};

fn rewritten(text: &str) -> Result<String, FieldsError> {
    FieldsReader::default().read(text).map(|set| set.to_json())
}

#[track_caller]
fn check(text: &str, want: &str) {
    assert_eq!(rewritten(text).as_deref(), Ok(want), "{text}");
}

#[test]
fn elements_are_sorted_and_merged() {
    check("{}", "{}");
    check("null", "{}");
    check(r#"{"f:b":{},"f:a":{}}"#, r#"{"f:a":{},"f:b":{}}"#);
    check(r#"{"v:10":{},"v:9":{}}"#, r#"{"v:9":{},"v:10":{}}"#);
    check(
        r#"{"f:a":{"f:x":{}},"f:b":{},"f:a":{".":{},"f:y":{}}}"#,
        r#"{"f:a":{".":{},"f:y":{}},"f:b":{}}"#,
    );
    check(
        r#"{"f:a":{"f:x":{}},"f:a":{}}"#,
        r#"{"f:a":{".":{},"f:x":{}}}"#,
    );
    check(
        r#"{"v:1":{"f:b":{},"f:a":{}},"v:1.0":{}}"#,
        r#"{"v:1":{".":{},"f:a":{},"f:b":{}}}"#,
    );
    check(
        r#"{"i:2":{},"v:1":{},"k:{\"a\":1}":{},"f:z":{}}"#,
        r#"{"f:z":{},"k:{\"a\":1}":{},"v:1":{},"i:2":{}}"#,
    );
}

#[test]
fn a_node_is_a_member_unless_it_only_leads_to_members() {
    check(r#"{"f:a":{}}"#, r#"{"f:a":{}}"#);
    check(r#"{"f:a":null}"#, r#"{"f:a":{}}"#);
    check(r#"{"f:a":{".":{}}}"#, r#"{"f:a":{}}"#);
    check(r#"{"f:a":{".":[1,{"x":2}]}}"#, r#"{"f:a":{}}"#);
    check(r#"{"f:a":{"f:b":{}}}"#, r#"{"f:a":{"f:b":{}}}"#);
    check(
        r#"{"f:a":{"f:b":{},".":{}}}"#,
        r#"{"f:a":{".":{},"f:b":{}}}"#,
    );
    check(r#"{".":{}}"#, "{}");
}

#[test]
fn unknown_elements_are_skipped() {
    check(r#"{"x:1":{"y":[]},"f:a":{"z:":1}}"#, r#"{"f:a":{}}"#);
}

#[test]
fn values_in_elements_are_written_as_in_go() {
    for (value, want) in [
        (
            json!("<&>\u{2028}\u{8}\"\\\n\u{7f}é"),
            "v:\"\\u003c\\u0026\\u003e\\u2028\\u0008\\\"\\\\\\n\u{7f}é\"",
        ),
        (json!(1.0), "v:1"),
        (json!(1e21), "v:1e+21"),
        (json!(1e-7), "v:1e-07"),
        (json!(-5), "v:-5"),
        (json!(u64::MAX), "v:18446744073709552000"),
        (
            json!({"b": [null, true], "a": {}}),
            "v:{\"a\":{},\"b\":[null,true]}",
        ),
    ] {
        assert_eq!(PathElement::value(value).to_serialized(), want);
    }
    let key = PathElement::key([("<", json!("<"))]);
    assert_eq!(key.to_serialized(), r#"k:{"<":"\u003c"}"#);
}

#[test]
fn field_names_are_escaped_once_in_the_document() {
    let set = FieldsReader::default().read(r#"{"f:<\"\n":{},"v:\"\\u003c\"":{}}"#);
    assert_eq!(
        set.map(|set| set.to_json()).as_deref(),
        Ok(r#"{"f:<\"\n":{},"v:\"\\u003c\"":{}}"#)
    );
}

#[test]
fn malformed_documents_are_errors() {
    for text in [
        "",
        "[]",
        "1",
        "{",
        "{\"f:a\":{}",
        "{\"f:a\":1}",
        "{\"f:a\":[]}",
        "{\"f:a\":{}}x",
        "{\"f:a\"{}}",
        "{,}",
        "{\"f:a\":{},}",
        "{\"f\":{}}",
        "{\"\":{}}",
        "{\"fa\":{}}",
        "{\"v:\":{}}",
        "{\"v:1 2\":{}}",
        "{\"v:01\":{}}",
        "{\"v:1.\":{}}",
        "{\"v:.5\":{}}",
        "{\"v:1e400\":{}}",
        "{\"v:-\":{}}",
        "{\"v:[1\":{}}",
        "{\"k:1\":{}}",
        "{\"k:{\":{}}",
        "{\"k:{\\\"a\\\"}\":{}}",
        "{\"i:\":{}}",
        "{\"i:1.5\":{}}",
        "{\"i:99999999999999999999\":{}}",
        "{\"v:\\\"\\\\x\\\"\":{}}",
        "{\"v:\\\"\\\\u12\\\"\":{}}",
    ] {
        assert!(rewritten(text).is_err(), "{text}");
    }
}

#[test]
fn nesting_is_limited() {
    let reader = FieldsReader {
        depth: 3,
        ..FieldsReader::default()
    };
    assert!(reader.read(r#"{"f:a":{"f:b":{}}}"#).is_ok());
    assert!(reader.read(r#"{"f:a":{"f:b":{"f:c":{}}}}"#).is_err());
    let value: Value = json!({"f:a": {"f:b": {"f:c": {}}}});
    assert!(reader.read_value(&value).is_err());
    assert!(reader.read(r#"{"v:[[[[]]]]":{}}"#).is_err());
    assert!(reader.read(r#"{"v:[[[]]]":{}}"#).is_ok());
}

#[test]
fn long_elements_are_cut_in_messages() {
    let text = format!("{{\"{}\":{{}}}}", "é".repeat(1000));
    let error = rewritten(&text).expect_err("no element").to_string();
    assert!(error.len() < 120, "{error}");
}
