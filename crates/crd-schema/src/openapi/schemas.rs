//! The schemas of kinds, their lists and Kubernetes' own types.

use serde_json::{Map, Value, json};

use super::kubernetes::Published;
use super::{Edition, Kind, SCALE, model_name, reference, swagger};

const CONVENTIONS: &str =
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";

/// Kubernetes' own types that the documents of these kinds reference.
pub(super) fn meta(kinds: &[Kind<'_>], published: &Published) -> Map<String, Value> {
    let scales = kinds.iter().any(|kind| kind.scale);
    let definitions = published.definitions.iter();
    definitions
        .filter(|(name, _)| scales || !name.starts_with(SCALE))
        .map(|(name, schema)| (name.clone(), schema.clone()))
        .collect()
}

/// The schemas of a kind and its list.
pub(super) fn add(
    kind: &Kind<'_>,
    published: &Published,
    edition: Edition,
    definitions: &mut Map<String, Value>,
) {
    let name = model_name(kind, kind.kind);
    let mut object = object(kind.schema, published, edition);
    let mut list = json!({
        "description": format!("{} is a list of {}", kind.list_kind, kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {
                "description": format!("List of {}. More info: {CONVENTIONS}", kind.plural),
                "type": "array",
                "items": reference(&name),
            },
        },
    });
    set(&mut list, &published.list);
    for (schema, kind_name) in [(&mut object, kind.kind), (&mut list, kind.list_kind)] {
        schema["x-kubernetes-group-version-kind"] =
            json!([{"group": kind.group, "kind": kind_name, "version": kind.version}]);
        if !kind.selectable_fields.is_empty() {
            let fields = kind.selectable_fields.iter();
            schema["x-kubernetes-selectable-fields"] = fields
                .map(|path| json!({"fieldPath": path.trim_start_matches('.')}))
                .collect();
        }
    }
    definitions.insert(name, object);
    definitions.insert(model_name(kind, kind.list_kind), list);
}

/// The published schema of an object.
fn object(schema: &Value, published: &Published, edition: Edition) -> Value {
    let mut object = structural(schema);
    if edition == Edition::V2 {
        if keeps_unknown(&object) {
            // Properties are omitted, because kubectl would reject every field that is not listed.
            return json!({"type": "object"});
        }
        swagger::simplify(&mut object);
    }
    set(&mut object, &published.object);
    embed(&mut object, published, edition);
    object
}

fn keeps_unknown(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == Value::Bool(true)
}

/// Adds properties.
fn set(schema: &mut Value, added: &Map<String, Value>) {
    if let Some(fields) = schema.as_object_mut() {
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.extend(added.clone());
        }
    }
}

/// The published form of a manifest's schema, with implied keywords written out.
fn structural(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else {
        return schema.clone();
    };
    let mut out = Map::new();
    for (key, value) in fields {
        let published = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties
                .iter()
                .map(|(name, schema)| (name.clone(), structural(schema)))
                .collect(),
            ("items" | "additionalProperties" | "not", Value::Object(_)) => structural(value),
            ("allOf" | "anyOf" | "oneOf", Value::Array(items)) => {
                items.iter().map(structural).collect()
            }
            // Go omits false as the zero value.
            (_, Value::Bool(false)) if key != "default" && key != "additionalProperties" => {
                continue;
            }
            _ => value.clone(),
        };
        out.insert(key.clone(), published);
    }
    if out.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        out.entry("anyOf")
            .or_insert_with(|| json!([{"type": "integer"}, {"type": "string"}]));
    }
    Value::Object(out)
}

/// Adds the fields of every embedded object.
fn embed(schema: &mut Value, published: &Published, edition: Edition) {
    for key in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(key) {
            embed(below, published, edition);
        }
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (_, property) in properties.into_iter().flatten() {
        embed(property, published, edition);
    }
    let embedded = schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
    if !embedded || (edition == Edition::V2 && keeps_unknown(schema)) {
        return;
    }
    set(schema, &published.embedded);
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    for name in ["kind", "apiVersion"] {
        if !required.iter().any(|one| one == name) {
            required.push(Value::from(name));
        }
    }
    schema["required"] = Value::Array(required);
}
