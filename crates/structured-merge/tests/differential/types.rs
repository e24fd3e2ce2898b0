//! Types as the reference describes them, and the crate's form of the same.

use serde_json::{Value, json};
use structured_merge::{FieldType, ListType, MapType, Scalar, Schema, SchemaBuilder, Type, TypeId};

/// A random type.
#[derive(Clone, Debug)]
pub(crate) enum T {
    Scalar(&'static str),
    Deduced,
    Untyped,
    /// A scalar, a list or a map.
    Any(Box<T>, Box<T>),
    List {
        items: Box<T>,
        relation: Relation,
        /// Whether the list is atomic in one variant of the schema.
        flips: bool,
    },
    Map {
        fields: Vec<(String, T, Value)>,
        elements: Option<Box<T>>,
        atomic: bool,
        /// Whether the map is atomic in one variant of the schema.
        flips: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Atomic,
    Set,
    Keys(Vec<String>),
}

// === impl T ===

impl T {
    /// The type as the reference describes it.
    pub(crate) fn render(&self, variant: bool) -> Value {
        match self {
            Self::Scalar(kind) => json!({"scalar": kind}),
            Self::Deduced => json!({"namedType": "__untyped_deduced_"}),
            Self::Untyped => json!({"namedType": "__untyped_atomic_"}),
            Self::Any(list, map) => json!({
                "scalar": "untyped",
                "list": list.render(variant)["list"],
                "map": map.render(variant)["map"],
            }),
            Self::List {
                items,
                relation,
                flips,
            } => {
                let items = items.render(variant);
                let mut list = match relation {
                    Relation::Atomic => json!({"elementRelationship": "atomic"}),
                    Relation::Set => json!({"elementRelationship": "associative"}),
                    Relation::Keys(keys) => {
                        json!({"elementRelationship": "associative", "keys": keys})
                    }
                };
                if *flips && variant {
                    list = json!({"elementRelationship": "atomic"});
                }
                list["elementType"] = items;
                json!({"list": list})
            }
            Self::Map {
                fields,
                elements,
                atomic,
                flips,
            } => {
                let fields: Vec<Value> = fields
                    .iter()
                    .map(|(name, ty, default)| {
                        let mut field = json!({"name": name, "type": ty.render(variant)});
                        if !default.is_null() {
                            field["default"] = default.clone();
                        }
                        field
                    })
                    .collect();
                let atomic = *atomic != (*flips && variant);
                let relation = if atomic { "atomic" } else { "separable" };
                let mut map = json!({"elementRelationship": relation});
                if !fields.is_empty() {
                    map["fields"] = Value::Array(fields);
                }
                if let Some(elements) = elements {
                    map["elementType"] = elements.render(variant);
                }
                json!({"map": map})
            }
        }
    }
}

/// A built-in type of values without a schema.
pub(crate) fn deduced(name: &str, maps: &str) -> Value {
    json!({
        "name": name,
        "scalar": "untyped",
        "list": {
            "elementType": {"namedType": "__untyped_atomic_"},
            "elementRelationship": "atomic",
        },
        "map": {"elementType": {"namedType": name}, "elementRelationship": maps},
    })
}

/// Every number as a float, so that equal numbers are equal values.
pub(crate) fn as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(as_floats).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), as_floats(value)))
            .collect(),
        other => other.clone(),
    }
}

/// The schema of a case, and its named types.
pub(crate) fn schema(case: &Value) -> (Schema, Vec<(String, TypeId)>) {
    let mut builder = SchemaBuilder::default();
    let types = case["schema"]["types"].as_array().expect("types");
    let mut roots = Vec::new();
    for ty in types {
        let name = ty["name"].as_str().expect("a name");
        if !name.starts_with("__") {
            let ty = ty_of(ty, &mut builder);
            roots.push((name.to_owned(), builder.add(ty)));
        }
    }
    (builder.build().expect("complete types"), roots)
}

fn reference(from: &Value, builder: &mut SchemaBuilder) -> TypeId {
    match from["namedType"].as_str() {
        Some("__untyped_deduced_") => builder.deduced(),
        Some(_) => builder.untyped(),
        None => {
            let ty = ty_of(from, builder);
            builder.add(ty)
        }
    }
}

fn ty_of(from: &Value, builder: &mut SchemaBuilder) -> Type {
    let scalar = from["scalar"].as_str().map(|kind| match kind {
        "numeric" => Scalar::Numeric,
        "string" => Scalar::String,
        "boolean" => Scalar::Boolean,
        _ => Scalar::Untyped,
    });
    let list = from["list"].as_object().map(|list| {
        let items = reference(&list["elementType"], builder);
        if list["elementRelationship"] == "atomic" {
            return ListType::atomic(items);
        }
        let keys = list.get("keys").and_then(Value::as_array);
        let keys = keys.into_iter().flatten().filter_map(Value::as_str);
        ListType::keyed(items, keys)
    });
    let map = from["map"].as_object().map(|map| {
        let fields = map.get("fields").and_then(Value::as_array);
        let fields = fields.into_iter().flatten().map(|field| {
            let name = field["name"].as_str().expect("a name");
            let value = reference(&field["type"], builder);
            let default = field.get("default").cloned();
            (name.into(), FieldType { value, default })
        });
        MapType {
            fields: fields.collect(),
            elements: map
                .get("elementType")
                .map(|elements| reference(elements, builder)),
            atomic: map.get("elementRelationship") == Some(&json!("atomic")),
        }
    });
    Type {
        name: from["name"].as_str().map(Into::into),
        scalar,
        list,
        map,
    }
}
