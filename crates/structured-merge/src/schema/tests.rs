//! Tests of schemas.

use serde_json::json;

use crate::schema::{
    Additional, Kind, ListKind, MapKind, Relation, Scalar, SchemaBuilder, Structural,
    StructuralError,
};
use crate::typed::{Options, TypedValue};

fn object<const N: usize>(properties: [(&str, Structural); N]) -> Structural {
    Structural {
        properties: properties
            .into_iter()
            .map(|(name, schema)| (name.to_owned(), schema))
            .collect(),
        ..Structural::of(Kind::Object)
    }
}

/// The fields of a value of the described type.
fn fields(description: &Structural, value: serde_json::Value) -> String {
    let (schema, root) = description.compile().expect("a schema");
    let typed = TypedValue::new(value, &schema, root).expect("a value");
    typed.to_field_set().expect("fields").to_json()
}

#[test]
fn objects_without_properties_are_deduced() {
    let description = object([("free", Structural::of(Kind::Object))]);
    assert_eq!(
        fields(&description, json!({"free": {"a": {"b": [1, {"c": 2}]}}})),
        r#"{"f:free":{"f:a":{".":{},"f:b":{}}}}"#
    );
}

#[test]
fn preserved_unknown_fields_are_deduced_below_as_well() {
    let inner = object([("known", Structural::of(Kind::String))]);
    let description = Structural {
        preserve_unknown_fields: true,
        ..object([("inner", inner.clone())])
    };
    let value = json!({"inner": {"known": "a", "other": {"x": 1}}});
    assert_eq!(
        fields(&description, value.clone()),
        r#"{"f:inner":{"f:known":{},"f:other":{".":{},"f:x":{}}}}"#
    );
    let (schema, root) = object([("inner", inner)]).compile().expect("a schema");
    let error = TypedValue::new(value, &schema, root).expect_err("an unknown field");
    assert_eq!(
        error.to_string(),
        ".inner.other: field not declared in schema"
    );
}

#[test]
fn strings_with_a_format_are_untyped() {
    for (format, want) in [
        ("", Scalar::String),
        ("byte", Scalar::String),
        ("date", Scalar::Untyped),
    ] {
        let description = Structural {
            format: format.to_owned(),
            ..Structural::of(Kind::String)
        };
        let (schema, root) = description.compile().expect("a schema");
        assert_eq!(schema.type_of(root).scalar, Some(want), "{format}");
    }
}

#[test]
fn values_without_a_type_may_be_anything() {
    let description = object([("any", Structural::default())]);
    for value in [
        json!(1),
        json!("a"),
        json!([1]),
        json!({"a": 1}),
        json!(null),
    ] {
        assert!(fields(&description, json!({"any": value})).starts_with(r#"{"f:any":{"#));
    }
}

#[test]
fn additional_properties_decide_about_unknown_members() {
    let with = |additional| Structural {
        additional,
        ..object([("a", Structural::of(Kind::Integer))])
    };
    let text = Additional::Schema(Box::new(Structural::of(Kind::String)));
    for (additional, accepted) in [
        (Additional::Unset, false),
        (Additional::Any(false), false),
        (Additional::Any(true), true),
        (text, true),
    ] {
        let (schema, root) = with(additional).compile().expect("a schema");
        let value = TypedValue::new(json!({"b": "x"}), &schema, root);
        assert_eq!(value.is_ok(), accepted);
    }
}

#[test]
fn embedded_resources_have_metadata() {
    let description = Structural {
        embedded_resource: true,
        ..object([("spec", Structural::of(Kind::Object))])
    };
    let value = json!({
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {
            "creationTimestamp": null,
            "finalizers": ["a"],
            "labels": {"l": "x"},
            "ownerReferences": [{"uid": "u", "name": "n"}, {"name": "without"}],
        },
    });
    assert_eq!(
        fields(&description, value),
        "{\"f:apiVersion\":{},\"f:kind\":{},\"f:metadata\":{\"f:creationTimestamp\":{},\
         \"f:finalizers\":{\"v:\\\"a\\\"\":{}},\"f:labels\":{\"f:l\":{}},\"f:ownerReferences\":\
         {\"k:{\\\"uid\\\":\\\"\\\"}\":{},\"k:{\\\"uid\\\":\\\"u\\\"}\":{}}}}"
    );
}

#[test]
fn list_and_map_kinds_are_kept() {
    let list = |kind| Structural {
        list: Some(kind),
        items: Some(Box::new(object([("k", Structural::of(Kind::String))]))),
        ..Structural::of(Kind::Array)
    };
    let description = object([
        ("keyed", list(ListKind::Map(vec!["k".to_owned()]))),
        ("atomic", list(ListKind::Atomic)),
        (
            "map",
            Structural {
                map: Some(MapKind::Atomic),
                ..object([("a", Structural::of(Kind::String))])
            },
        ),
    ]);
    let (schema, root) = description.compile().expect("a schema");
    let map = schema.type_of(root).map.as_ref().expect("a map");
    let member = |name: &str| schema.type_of(map.fields[name].value);
    let relation = |name: &str| &member(name).list.as_ref().expect("a list").relation;
    assert_eq!(*relation("keyed"), Relation::Keys(vec!["k".into()]));
    assert_eq!(*relation("atomic"), Relation::Atomic);
    assert!(member("map").map.as_ref().is_some_and(|map| map.atomic));
}

#[test]
fn incomplete_descriptions_are_errors() {
    let array = object([("a", Structural::of(Kind::Array))]);
    let error = array.compile().expect_err("no items");
    assert_eq!(error.to_string(), ".a: an array needs `items`");
    let keyed = Structural {
        list: Some(ListKind::Map(Vec::new())),
        items: Some(Box::new(Structural::of(Kind::Object))),
        ..Structural::of(Kind::Array)
    };
    assert!(matches!(
        keyed.compile(),
        Err(StructuralError::NoKeys { .. })
    ));
    let mut deep = Structural::of(Kind::String);
    for _ in 0..Structural::MAX_DEPTH {
        deep = object([("a", deep)]);
    }
    assert_eq!(
        deep.compile().expect_err("too deep"),
        StructuralError::TooDeep
    );
}

#[test]
fn reserved_types_have_to_be_defined() {
    let mut types = SchemaBuilder::default();
    types.reserve();
    let error = types.build().expect_err("undefined");
    assert_eq!(
        error.to_string(),
        "type 2 was reserved and not defined: define every reserved type"
    );
}

#[test]
fn deep_values_are_refused() {
    let schema = SchemaBuilder::default().build().expect("a schema");
    let mut value = json!({});
    for _ in 0..3 {
        value = json!({"a": value});
    }
    let options = |depth| Options {
        depth,
        ..Options::default()
    };
    let typed =
        |depth| TypedValue::with_options(value.clone(), &schema, schema.deduced(), options(depth));
    assert!(typed(4).is_ok());
    let error = typed(3).expect_err("too deep");
    assert_eq!(
        error.to_string(),
        "the value is nested more than 3 levels deep"
    );
}
