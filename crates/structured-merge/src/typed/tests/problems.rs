//! Values that do not conform to their type.

use serde_json::{Value, json};

use super::shared;
use crate::schema::{ListType, MapType, Scalar, SchemaBuilder};
use crate::typed::TypedValue;

fn error(value: Value) -> String {
    let (schema, root) = shared();
    TypedValue::new(value, &schema, root)
        .expect_err("an error")
        .to_string()
}

#[test]
fn problems_are_worded_as_in_the_reference() {
    for (value, want) in [
        (
            json!({"n": "x"}),
            ".n: expected numeric (int or float), got string",
        ),
        (
            json!({"s": {"a": 1.5}}),
            ".s: expected string, got &value.valueUnstructured{Value:map[string]interface {}{\"a\":1.5}}",
        ),
        (json!({"b": [1]}), ".b: expected boolean, got &{[1]}"),
        (
            json!({"labels": [null]}),
            ".labels: expected map, got &{[<nil>]}",
        ),
        (
            json!({"set": {"a": "b"}}),
            ".set: expected list, got &{map[a:b]}",
        ),
        (json!({"zzz": 1}), ".zzz: field not declared in schema"),
        (
            json!({"set": ["a", "b", "a"]}),
            ".set: duplicate entries for key [=\"a\"]",
        ),
        (
            json!({"set": [["a"]]}),
            ".set: element 0: not supported: associative list with lists as elements",
        ),
        (
            json!({"set": ["a", {}]}),
            ".set: element 1: associative list without keys has an element that's a map type",
        ),
        (
            json!({"set": [null]}),
            ".set: element 0: associative list without keys has an element that's an explicit null",
        ),
        (
            json!({"keyed": [null]}),
            ".keyed: element 0: associative list with keys may not have a null element",
        ),
        (
            json!({"keyed": [1]}),
            ".keyed: element 0: associative list with keys may not have non-map elements",
        ),
        (
            json!({"keyed": [{"name": "a"}, {"port": 80, "name": "a"}]}),
            ".keyed: duplicate entries for key [name=\"a\",port=80]",
        ),
        (
            json!({"atomic": [1, "x"]}),
            ".atomic[1]: expected numeric (int or float), got string",
        ),
        (
            json!({"keyed": [{"name": "a", "v": {"n": true}}], "n": []}),
            "errors:\n  .keyed[name=\"a\",port=80].v.n: expected numeric (int or float), got bool\n  .n: expected numeric (int or float), got []interface {}",
        ),
    ] {
        assert_eq!(error(value), want);
    }
}

#[test]
fn items_without_any_key_are_errors() {
    let mut types = SchemaBuilder::default();
    let text = types.add(Scalar::String.into());
    let item = types.add(MapType::of_fields([("a", text), ("b", text)]).into());
    let root = types.add(ListType::keyed(item, ["b", "a"]).into());
    let schema = types.build().expect("a schema");
    let error = TypedValue::new(json!([{"a": "x"}, {}]), &schema, root).expect_err("no key");
    assert_eq!(
        error.to_string(),
        "element 1: associative list with keys has an element that omits all key fields [\"b\" \
         \"a\"] (and doesn't have default values for any key fields)"
    );
}

#[test]
fn many_errors_are_cut() {
    let labels: serde_json::Map<String, Value> = (0..100_000)
        .map(|n| (format!("{n:050}"), json!(1)))
        .collect();
    let text = error(json!({"labels": labels}));
    assert!(
        text.len() > 500_000 && text.len() < 2_000_000,
        "{}",
        text.len()
    );
}
