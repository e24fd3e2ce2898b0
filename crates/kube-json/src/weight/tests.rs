//! What documents weigh, and which are too heavy.

use serde_json::json;

use super::{Weight, memory_limit};
use crate::{ParseError, parse, reparse, to_vec};

fn list_of(item: &str, bytes: usize) -> Vec<u8> {
    let items = vec![item; bytes / (item.len() + 1)];
    format!("[{}]", items.join(",")).into_bytes()
}

#[test]
fn the_text_is_never_longer_than_the_document() {
    for value in [
        json!(null),
        json!([]),
        json!({}),
        json!([true, false, null, 1, "a\"b", [[]], {"a": {}}]),
        json!({"a": 1, "b": ["x", {"c": -1.5}]}),
    ] {
        let text = to_vec(&value);
        let weight = Weight::of(&value);
        assert!(weight.text <= text.len(), "{value} {weight:?}");
        assert!(weight.text + 8 > text.len(), "{value} {weight:?}");
    }
}

#[test]
fn the_depth_is_that_of_the_deepest_value() {
    for (value, want) in [
        (json!(1), 0),
        (json!([]), 1),
        (json!({"a": [1], "b": {"c": [[]]}}), 4),
    ] {
        assert_eq!(Weight::of(&value).depth, want, "{value}");
    }
}

#[test]
fn small_objects_by_the_hundred_thousand_are_refused() {
    let heavy = list_of(r#"{"":0}"#, 1 << 20);
    let limit = memory_limit(heavy.len());
    assert_eq!(parse(&heavy), Err(ParseError::TooLarge { limit }));
    // What was accepted once can be read for ever.
    let value = reparse(&heavy).expect("no limit");
    assert!(Weight::of(&value).check().is_err());
}

#[test]
fn large_bodies_of_ordinary_shapes_are_read() {
    for item in [
        "0",
        "[]",
        "{}",
        r#""a""#,
        r#"{"name":"VARIABLE","value":"text"}"#,
    ] {
        let text = list_of(item, 3 << 20);
        let value = parse(&text).expect(item).value;
        assert!(Weight::of(&value).check().is_ok(), "{item}");
    }
}
