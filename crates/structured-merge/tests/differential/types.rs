//! Types as the reference describes them, and the crate's form of the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use structured_merge::{FieldType, ListType, MapType, Scalar, Schema, SchemaBuilder, Type, TypeId};

/// A random type.
#[derive(Clone, Debug)]
pub(crate) enum T {
    Scalar(&'static str),
    Deduced,
    Untyped,
    /// A scalar, a list or a map.
    Any(Box<Self>, Box<Self>),
    List {
        items: Box<Self>,
        relation: Relation,
        /// Whether the list is atomic in one variant of the schema.
        flips: bool,
    },
    Map {
        fields: Vec<(String, Self, Value)>,
        elements: Option<Box<Self>>,
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

/// A schema in the crate's form, and its named types.
pub(crate) struct Types {
    pub(crate) schema: Schema,
    pub(crate) named: BTreeMap<String, TypeId>,
}

/// Converts a schema of the reference.
struct Conversion<'a> {
    builder: SchemaBuilder,
    /// The named types, and their descriptions.
    named: BTreeMap<String, (TypeId, &'a Value)>,
    /// References that change how the elements of a named type relate.
    overridden: BTreeMap<(String, String), TypeId>,
}

impl Types {
    /// Converts the schema of a case.
    pub(crate) fn of(schema: &Value) -> Self {
        let mut conversion = Conversion {
            builder: SchemaBuilder::default(),
            named: BTreeMap::new(),
            overridden: BTreeMap::new(),
        };
        let types = schema["types"].as_array().expect("types");
        for ty in types {
            let name = ty["name"].as_str().expect("a name");
            let id = match name {
                "__untyped_deduced_" => conversion.builder.deduced(),
                "__untyped_atomic_" => conversion.builder.untyped(),
                _ => conversion.builder.reserve(),
            };
            conversion.named.insert(name.to_owned(), (id, ty));
        }
        for (name, (id, ty)) in conversion.named.clone() {
            if !name.starts_with("__") {
                let ty = conversion.ty(ty);
                conversion.builder.define(id, ty);
            }
        }
        let named = conversion.named.into_iter();
        Self {
            named: named.map(|(name, (id, _))| (name, id)).collect(),
            schema: conversion.builder.build().expect("complete types"),
        }
    }
}

// === impl Conversion ===

impl Conversion<'_> {
    fn reference(&mut self, from: &Value) -> TypeId {
        let Some(name) = from["namedType"].as_str() else {
            let ty = self.ty(from);
            return self.builder.add(ty);
        };
        let (id, named) = self.named[name];
        let Some(relation) = from["elementRelationship"].as_str() else {
            return id;
        };
        let key = (name.to_owned(), relation.to_owned());
        if let Some(id) = self.overridden.get(&key) {
            return *id;
        }
        let id = self.builder.reserve();
        self.overridden.insert(key, id);
        let mut changed = named.clone();
        let kind = if changed.get("map").is_some() {
            "map"
        } else {
            "list"
        };
        changed[kind]["elementRelationship"] = json!(relation);
        let ty = self.ty(&changed);
        self.builder.define(id, ty);
        id
    }

    fn ty(&mut self, from: &Value) -> Type {
        let scalar = from["scalar"].as_str().map(|kind| match kind {
            "numeric" => Scalar::Numeric,
            "string" => Scalar::String,
            "boolean" => Scalar::Boolean,
            _ => Scalar::Untyped,
        });
        let list = from["list"].as_object().map(|list| {
            let items = match list.get("elementType") {
                Some(items) => self.reference(items),
                // A type that permits no value.
                None => self.builder.add(Type::default()),
            };
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
                let value = self.reference(&field["type"]);
                let default = field.get("default").cloned();
                (name.into(), FieldType { value, default })
            });
            let fields = fields.collect();
            MapType {
                fields,
                elements: map.get("elementType").map(|ty| self.reference(ty)),
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
}
