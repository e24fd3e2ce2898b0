//! Tests of typed values.

use serde_json::{Value, json};

use crate::element::{Path, PathElement};
use crate::schema::{
    FieldType, ListType, MapType, Relation, Scalar, Schema, SchemaBuilder, Type, TypeId,
};
use crate::set::FieldSet;
use crate::typed::{KeyFields, Options, TypedValue};

mod laws;
mod problems;

/// A schema with every kind of container.
fn schema() -> (Schema, TypeId) {
    let mut types = SchemaBuilder::default();
    let number = types.add(Scalar::Numeric.into());
    let text = types.add(Scalar::String.into());
    let flag = types.add(Scalar::Boolean.into());
    let root = types.reserve();
    let item = MapType {
        fields: [
            ("name", text, json!(null)),
            ("port", number, json!(80)),
            ("v", root, json!(null)),
        ]
        .into_iter()
        .map(|(name, value, default)| {
            let default = Some(default).filter(|default| !default.is_null());
            (name.into(), FieldType { value, default })
        })
        .collect(),
        ..MapType::default()
    };
    let item = types.add(item.into());
    let pair = types.add(
        MapType {
            atomic: true,
            ..MapType::of_elements(number)
        }
        .into(),
    );
    let labels = types.add(MapType::of_elements(text).into());
    let set = types.add(ListType::set(text).into());
    let atomic = types.add(ListType::atomic(number).into());
    let keyed = types.add(ListType::keyed(item, ["name", "port"]).into());
    let deduced = types.deduced();
    let fields = MapType::of_fields([
        ("n", number),
        ("s", text),
        ("b", flag),
        ("pair", pair),
        ("labels", labels),
        ("set", set),
        ("atomic", atomic),
        ("keyed", keyed),
        ("child", root),
        ("free", deduced),
    ]);
    types.define(root, fields.into());
    (types.build().expect("a schema"), root)
}

fn typed(value: Value) -> TypedValue {
    let (schema, root) = shared();
    let options = Options {
        duplicates: true,
        ..Options::default()
    };
    TypedValue::with_options(value, &schema, root, options).expect("a value")
}

/// One schema per thread: operations need values of the same schema.
fn shared() -> (Schema, TypeId) {
    thread_local! {
        static SCHEMA: (Schema, TypeId) = schema();
    }
    SCHEMA.with(Clone::clone)
}

#[test]
fn null_is_a_value_of_every_type() {
    let value =
        json!({"n": null, "s": null, "labels": null, "set": null, "child": null, "free": null});
    let set = typed(value).to_field_set().expect("fields");
    assert_eq!(
        set.to_json(),
        r#"{"f:child":{},"f:free":{},"f:labels":{},"f:n":{},"f:s":{},"f:set":{}}"#
    );
}

#[track_caller]
fn check_fields(value: Value, want: &str) {
    assert_eq!(typed(value).to_field_set().expect("fields").to_json(), want);
}

#[test]
fn fields_are_leaves_items_and_undeclared_members() {
    check_fields(
        json!({"n": 1, "pair": {"x": 1}, "atomic": [1]}),
        r#"{"f:atomic":{},"f:n":{},"f:pair":{}}"#,
    );
    check_fields(json!({"labels": {"a": "b"}}), r#"{"f:labels":{"f:a":{}}}"#);
    check_fields(
        json!({"labels": {}, "set": [], "child": {}}),
        r#"{"f:child":{},"f:labels":{}}"#,
    );
    check_fields(
        json!({"set": ["b", "a"]}),
        r#"{"f:set":{"v:\"a\"":{},"v:\"b\"":{}}}"#,
    );
    check_fields(
        json!({"keyed": [{"name": "a", "v": {"n": 1}}]}),
        r#"{"f:keyed":{"k:{\"name\":\"a\",\"port\":80}":{".":{},"f:name":{},"f:v":{"f:n":{}}}}}"#,
    );
    check_fields(
        json!({"free": {"a": {"b": 1}}}),
        r#"{"f:free":{"f:a":{".":{},"f:b":{}}}}"#,
    );
}

#[test]
fn repeated_items_are_one_leaf() {
    check_fields(
        json!({"set": ["a", "a"], "keyed": [{"name": "a"}, {"name": "a", "port": 80.0}, {"name": "b"}]}),
        r#"{"f:keyed":{"k:{\"name\":\"a\",\"port\":80}":{},"k:{\"name\":\"b\",\"port\":80}":{".":{},"f:name":{}}},"f:set":{"v:\"a\"":{}}}"#,
    );
}

#[track_caller]
fn check_merge([left, right, want]: [Value; 3]) {
    let merged = typed(left).merge(&typed(right)).expect("a merged value");
    assert_eq!(*merged.value(), want);
}

#[test]
fn the_right_value_prevails_and_nothing_is_removed() {
    check_merge([
        json!({"n": 1, "labels": {"a": "1", "b": "2"}, "pair": {"x": 1}, "atomic": [1, 2]}),
        json!({"n": 2, "labels": {"b": "3", "c": "4"}, "pair": {"y": 1}, "atomic": [3]}),
        json!({"n": 2, "labels": {"a": "1", "b": "3", "c": "4"}, "pair": {"y": 1}, "atomic": [3]}),
    ]);
    check_merge([json!({"n": 1}), json!({"n": null}), json!({"n": null})]);
    check_merge([
        json!({"labels": {"a": "1"}}),
        json!({"labels": null}),
        json!({"labels": {"a": "1"}}),
    ]);
    check_merge([
        json!({"labels": null}),
        json!({"labels": {}}),
        json!({"labels": {}}),
    ]);
    check_merge([
        json!({"free": {"a": 1}}),
        json!({"free": [1]}),
        json!({"free": [1]}),
    ]);
}

#[test]
fn shared_items_have_the_order_of_the_right_list() {
    for (left, right, want) in [
        (json!(["a", "b"]), json!(["c", "b"]), json!(["a", "c", "b"])),
        (
            json!(["a", "b", "c"]),
            json!(["c", "a"]),
            json!(["b", "c", "a"]),
        ),
        (
            json!(["a", "x", "b", "y"]),
            json!(["b", "a"]),
            json!(["x", "b", "y", "a"]),
        ),
        (json!([]), json!(["a"]), json!(["a"])),
        (json!(["a"]), json!([]), json!(["a"])),
        (
            json!(["a", "b", "a"]),
            json!(["c"]),
            json!(["a", "b", "a", "c"]),
        ),
        (json!(["a", "b", "a"]), json!(["a"]), json!(["a", "b"])),
    ] {
        check_merge([
            json!({"set": left}),
            json!({"set": right}),
            json!({"set": want}),
        ]);
    }
}

#[test]
fn items_are_merged_by_key() {
    check_merge([
        json!({"keyed": [{"name": "a", "v": {"n": 1}}, {"name": "b"}]}),
        json!({"keyed": [{"name": "a", "port": 80, "v": {"s": "x"}}, {"name": "a", "port": 1}]}),
        json!({"keyed": [
            {"name": "a", "port": 80, "v": {"n": 1, "s": "x"}},
            {"name": "b"},
            {"name": "a", "port": 1},
        ]}),
    ]);
}

#[test]
fn repeated_items_of_the_right_value_are_errors() {
    let error = typed(json!({"set": ["a"]})).merge(&typed(json!({"set": ["b", "b"]})));
    let text = error.expect_err("a duplicate").to_string();
    assert_eq!(text, ".set: duplicate entries for key [=\"b\"]");
}

#[test]
fn values_of_different_types_are_not_merged() {
    let (other, root) = schema();
    let other = TypedValue::new(json!({}), &other, root).expect("a value");
    let text = typed(json!({}))
        .merge(&other)
        .expect_err("another schema")
        .to_string();
    assert_eq!(text, "expected objects with types from the same schema");
}

#[track_caller]
fn check_compare(left: Value, right: Value, [removed, modified, added]: [&str; 3]) {
    let changes = typed(left).compare(&typed(right)).expect("a comparison");
    let texts = [&changes.removed, &changes.modified, &changes.added].map(FieldSet::to_json);
    assert_eq!(texts, [removed, modified, added]);
}

#[test]
fn differences_are_removed_modified_or_added() {
    check_compare(
        json!({"n": 1, "s": "a", "labels": {"x": "1"}}),
        json!({"n": 1.0, "s": "b", "labels": {"y": "1"}}),
        [
            r#"{"f:labels":{"f:x":{}}}"#,
            r#"{"f:s":{}}"#,
            r#"{"f:labels":{"f:y":{}}}"#,
        ],
    );
    check_compare(
        json!({"set": ["a", "b"]}),
        json!({"set": ["b", "a"]}),
        ["{}", "{}", "{}"],
    );
    check_compare(
        json!({"atomic": [1, 2]}),
        json!({"atomic": [2, 1]}),
        ["{}", r#"{"f:atomic":{}}"#, "{}"],
    );
    check_compare(
        json!({"child": {"n": 1}}),
        json!({}),
        [r#"{"f:child":{".":{},"f:n":{}}}"#, "{}", "{}"],
    );
    check_compare(
        json!({"free": [1]}),
        json!({"free": {"a": 1}}),
        ["{}", r#"{"f:free":{}}"#, r#"{"f:free":{"f:a":{}}}"#],
    );
}

#[test]
fn repeated_items_are_compared_as_one_leaf() {
    let item = |n: i64| json!({"name": "a", "v": {"n": n}});
    let key = r#"k:{\"name\":\"a\",\"port\":80}"#;
    let leaf = format!(r#"{{"f:keyed":{{"{key}":{{}}}}}}"#);
    let whole = format!(
        r#"{{"f:keyed":{{"{key}":{{".":{{}},"f:name":{{}},"f:v":{{".":{{}},"f:n":{{}}}}}}}}}}"#
    );
    let check = |left: &[i64], right: &[i64], want: [&str; 3]| {
        let list = |numbers: &[i64]| json!({"keyed": numbers.iter().map(|n| item(*n)).collect::<Vec<_>>()});
        check_compare(list(left), list(right), want);
    };
    check(&[1, 2], &[1, 2], ["{}", "{}", "{}"]);
    check(&[1, 2], &[2, 1], ["{}", &leaf, "{}"]);
    check(&[1, 2], &[1], [&leaf, "{}", &whole]);
    check(&[1], &[1, 2], [&whole, "{}", &leaf]);
    check(&[1, 2], &[], [&leaf, "{}", "{}"]);
    check(&[], &[1, 2], ["{}", "{}", &leaf]);
}

fn set(paths: &[&[&str]]) -> FieldSet {
    let paths: Vec<Path> = paths
        .iter()
        .map(|path| Path::fields(path.iter().copied()))
        .collect();
    paths.iter().collect()
}

#[test]
fn removal_keeps_what_is_not_listed() {
    let value =
        typed(json!({"n": 1, "labels": {"a": "1", "b": "2"}, "set": ["x", "y"], "atomic": [1]}));
    let mut items = set(&[&["n"], &["labels", "a"], &["atomic", "z"], &["missing"]]);
    items.insert(&Path(vec![
        PathElement::field("set"),
        PathElement::value(json!("x")),
    ]));
    let rest = value.remove_items(&items);
    assert_eq!(
        *rest.value(),
        json!({"labels": {"b": "2"}, "set": ["y"], "atomic": null})
    );
    assert_eq!(
        value.remove_items(&FieldSet::default()).value(),
        value.value()
    );
    assert_eq!(
        *typed(json!({"n": 1})).remove_items(&set(&[&["n"]])).value(),
        Value::Null
    );
}

#[test]
fn extraction_keeps_what_is_listed() {
    let value =
        typed(json!({"n": 1, "keyed": [{"name": "a", "v": {"n": 1, "s": "x"}}, {"name": "b"}]}));
    let key = PathElement::key([("name", json!("a")), ("port", json!(80))]);
    let path = [
        PathElement::field("keyed"),
        key,
        PathElement::field("v"),
        PathElement::field("n"),
    ];
    let items: FieldSet = [Path(path.to_vec())].iter().collect();
    let bare = value.extract_items(&items, KeyFields::AsListed);
    assert_eq!(*bare.value(), json!({"keyed": [{"v": {"n": 1}}]}));
    let with_keys = value.extract_items(&items, KeyFields::Append);
    assert_eq!(
        *with_keys.value(),
        json!({"keyed": [{"name": "a", "v": {"n": 1}}]})
    );
}

/// The set of `a.x` and `a.y` reconciled with a schema in which `a` is a map of the given kind.
fn reconciled(atomic: bool) -> Option<String> {
    let mut types = SchemaBuilder::default();
    let number = types.add(Scalar::Numeric.into());
    let map = MapType {
        atomic,
        ..MapType::of_fields([("x", number), ("y", number)])
    };
    let map = types.add(map.into());
    let root = types.add(MapType::of_fields([("a", map), ("n", number)]).into());
    let schema = types.build().expect("a schema");
    let value = TypedValue::new(json!({"a": {"x": 1, "y": 2}}), &schema, root).expect("a value");
    let set = set(&[&["a", "x"], &["a", "y"], &["n"], &["unknown", "z"]]);
    value
        .reconcile(&set)
        .expect("a set")
        .map(|set| set.to_json())
}

#[test]
fn fields_below_a_map_that_became_atomic_become_the_map() {
    assert_eq!(reconciled(false), None);
    assert_eq!(
        reconciled(true).as_deref(),
        Some(r#"{"f:a":{},"f:n":{},"f:unknown":{"f:z":{}}}"#)
    );
}

#[test]
fn lists_that_became_atomic_are_owned_as_a_whole() {
    let with = |relation| {
        let mut types = SchemaBuilder::default();
        let text = types.add(Scalar::String.into());
        let list = types.add(Type::from(ListType {
            items: text,
            relation,
        }));
        let root = types.add(MapType::of_fields([("l", list)]).into());
        let schema = types.build().expect("a schema");
        TypedValue::new(json!({"l": ["a"]}), &schema, root).expect("a value")
    };
    let owned = with(Relation::Set).to_field_set().expect("fields");
    let whole = with(Relation::Atomic)
        .reconcile(&owned)
        .expect("a set")
        .expect("a change");
    assert_eq!(whole.to_json(), r#"{"f:l":{}}"#);
    assert_eq!(with(Relation::Set).reconcile(&whole), Ok(None));
}

#[test]
fn deep_values_are_handled_on_a_stack_of_64_mib() {
    // `json!` would copy the value on every level.
    let deep = |leaf: i64| {
        (0..9_999).fold(json!({"n": leaf}), |value, _| {
            Value::Object([("child".to_owned(), value)].into_iter().collect())
        })
    };
    let run = move || {
        let (schema, root) = shared();
        let options = Options {
            depth: 10_000,
            ..Options::default()
        };
        let typed = |value: Value| TypedValue::with_options(value, &schema, root, options);
        let (a, b) = (
            typed(deep(1)).expect("a value"),
            typed(deep(2)).expect("a value"),
        );
        let merged = a.merge(&b).expect("a merged value");
        assert!(merged.equals(&b));
        let set = b.to_field_set().expect("fields");
        assert_eq!(a.compare(&b).expect("a comparison").modified, set);
        assert!(b.extract_items(&set, KeyFields::AsListed).equals(&b));
        assert!(b.remove_items(&set).to_field_set().expect("fields").len() == 1);
        assert_eq!(b.reconcile(&set), Ok(None));
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(run);
    thread.expect("a thread").join().expect("no panic");
}
