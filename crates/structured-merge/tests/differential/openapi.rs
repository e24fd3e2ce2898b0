//! Schemas from OpenAPI, compared with the reference's conversion.

use rand::prelude::*;
use serde_json::{Map, Value, json};
use structured_merge::{Additional, Kind, ListKind, MapKind, Relation, Schema, Structural, TypeId};

use crate::generate::Generator;

impl Generator {
    /// A random OpenAPI schema with the keywords that determine merging.
    pub(crate) fn openapi(&mut self, depth: usize) -> Value {
        let kinds = [
            "object", "array", "string", "integer", "number", "boolean", "",
        ];
        let scalars = &kinds[2..6];
        let pool = if depth == 0 { scalars } else { &kinds[..] };
        let kind = *pool.choose(&mut self.rng).expect("kinds");
        let mut schema = Map::new();
        if !kind.is_empty() {
            schema.insert("type".to_owned(), json!(kind));
        }
        if self.chance(0.15) {
            schema.insert(
                "x-kubernetes-preserve-unknown-fields".to_owned(),
                json!(true),
            );
        }
        if kind == "string" && self.chance(0.4) {
            let format = ["byte", "date-time", "int-or-string", "uuid"].choose(&mut self.rng);
            schema.insert("format".to_owned(), json!(format));
        }
        if self.chance(0.2) && scalars.contains(&kind) {
            schema.insert("default".to_owned(), json!(kind));
        }
        if depth > 0 && (kind == "array" || kind.is_empty() && self.chance(0.5)) {
            schema.insert("items".to_owned(), self.openapi(depth - 1));
            match self.rng.random_range(0..4) {
                0 => schema.insert("x-kubernetes-list-type".to_owned(), json!("set")),
                1 => schema.insert("x-kubernetes-list-type".to_owned(), json!("atomic")),
                2 => {
                    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(["k", "l"]));
                    schema.insert("x-kubernetes-list-type".to_owned(), json!("map"))
                }
                _ => None,
            };
        }
        if depth > 0 && (kind == "object" || kind.is_empty() && self.chance(0.5)) {
            let names = ["a", "b", "c"].iter().take(self.rng.random_range(0..4));
            let properties: Map<String, Value> = names
                .map(|name| ((*name).to_owned(), self.openapi(depth - 1)))
                .collect();
            if !properties.is_empty() {
                schema.insert("properties".to_owned(), Value::Object(properties));
            }
            match self.rng.random_range(0..5) {
                0 => schema.insert("additionalProperties".to_owned(), json!(true)),
                1 => schema.insert("additionalProperties".to_owned(), json!(false)),
                2 => {
                    let below = self.openapi(depth - 1);
                    schema.insert("additionalProperties".to_owned(), below)
                }
                _ => None,
            };
            match self.rng.random_range(0..5) {
                0 => schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic")),
                1 => schema.insert("x-kubernetes-map-type".to_owned(), json!("granular")),
                _ => None,
            };
        }
        Value::Object(schema)
    }
}

/// The crate's description of an OpenAPI schema.
pub(crate) fn description(schema: &Value) -> Structural {
    let text = |name: &str| schema[name].as_str().unwrap_or_default();
    let properties = schema["properties"].as_object().into_iter().flatten();
    Structural {
        kind: match text("type") {
            "array" => Some(Kind::Array),
            "boolean" => Some(Kind::Boolean),
            "integer" => Some(Kind::Integer),
            "number" => Some(Kind::Number),
            "object" => Some(Kind::Object),
            "string" => Some(Kind::String),
            _ => None,
        },
        format: text("format").to_owned(),
        default: schema.get("default").cloned(),
        properties: properties
            .map(|(name, property)| (name.clone(), description(property)))
            .collect(),
        additional: match schema.get("additionalProperties") {
            None => Additional::Unset,
            Some(Value::Bool(any)) => Additional::Any(*any),
            Some(below) => Additional::Schema(Box::new(description(below))),
        },
        items: schema
            .get("items")
            .map(|items| Box::new(description(items))),
        list: match text("x-kubernetes-list-type") {
            "atomic" => Some(ListKind::Atomic),
            "set" => Some(ListKind::Set),
            "map" => Some(ListKind::Map(vec!["k".to_owned(), "l".to_owned()])),
            _ => None,
        },
        map: match text("x-kubernetes-map-type") {
            "atomic" => Some(MapKind::Atomic),
            "granular" => Some(MapKind::Granular),
            _ => None,
        },
        preserve_unknown_fields: schema["x-kubernetes-preserve-unknown-fields"] == true,
        embedded_resource: false,
    }
}

/// A type written out, so that types of two schemas can be compared.
pub(crate) fn written(schema: &Schema, ty: TypeId) -> Value {
    let ty = schema.type_of(ty);
    if let Some(name) = ty.name.as_deref().filter(|name| name.starts_with("__")) {
        return json!(name);
    }
    let list = ty.list.as_ref().map(|list| {
        let relation = match &list.relation {
            Relation::Atomic => json!("atomic"),
            Relation::Set => json!("set"),
            Relation::Keys(keys) => keys.iter().map(|key| json!(**key)).collect(),
        };
        json!({"items": written(schema, list.items), "relation": relation})
    });
    let map = ty.map.as_ref().map(|map| {
        let fields = map.fields.iter().map(|(name, field)| {
            let value = written(schema, field.value);
            (
                name.to_string(),
                json!({"type": value, "default": field.default}),
            )
        });
        json!({
            "fields": fields.collect::<Map<_, _>>(),
            "elements": map.elements.map(|elements| written(schema, elements)),
            "atomic": map.atomic,
        })
    });
    let scalar = ty.scalar.map(|scalar| format!("{scalar:?}"));
    json!({"scalar": scalar, "list": list, "map": map})
}
