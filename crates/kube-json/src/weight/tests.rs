//! Weights of documents, and the limits.

use serde_json::json;

use super::{Weight, estimate, memory_limit};
use crate::{ParseError, parse, reparse, to_vec};

fn list_of(item: &str, bytes: usize) -> Vec<u8> {
    let items = vec![item; bytes / (item.len() + 1)];
    format!("[{}]", items.join(",")).into_bytes()
}

#[test]
fn weight_text_is_at_most_the_document_length() {
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
fn weight_depth_is_that_of_the_deepest_value() {
    for (value, want) in [
        (json!(1), 0),
        (json!([]), 1),
        (json!({"a": [1], "b": {"c": [[]]}}), 4),
    ] {
        assert_eq!(Weight::of(&value).depth, want, "{value}");
    }
}

#[test]
fn hundred_thousand_small_objects_are_rejected() {
    let heavy = list_of(r#"{"":0}"#, 1 << 20);
    let limit = memory_limit(heavy.len());
    assert_eq!(parse(&heavy), Err(ParseError::TooLarge { limit }));
    // Every document that was accepted once can be read again.
    let value = reparse(&heavy).expect("no limit");
    assert!(Weight::of(&value).check().is_err());
}

#[test]
fn large_ordinary_bodies_are_accepted() {
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

#[test]
fn estimate_is_an_upper_bound_of_the_weight() {
    for item in [
        "0",
        "[]",
        "[[0],0]",
        r#""""#,
        r#"{"a":1}"#,
        r#"{"a":{"b":{"c":[]}}}"#,
        r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8}"#,
        r#"{"name":"VARIABLE","value":"text, with: {punctuation}"}"#,
    ] {
        let text = list_of(item, 100 << 10);
        let weight = Weight::of(&parse(&text).expect(item).value).memory;
        let estimate = estimate(&text, false);
        assert!(
            (weight..6 * weight).contains(&estimate),
            "{item} {weight} {estimate}"
        );
    }
}

#[test]
fn estimate_is_low_for_prose_and_high_for_aliases() {
    let prose = list_of(r#""What a line of text, says.""#, 1 << 20);
    assert!(estimate(&prose, false) < 4 << 20);
    let yaml = b"a: &a [1]\nb: *a\n";
    assert_eq!(estimate(yaml, true), memory_limit(yaml.len()));
    assert!(estimate(yaml, false) < 2 << 10);
}
