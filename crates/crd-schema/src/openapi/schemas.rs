//! The schemas of kinds, their lists and Kubernetes' own types.

use serde_json::{Map, Value, json};

use super::{Kind, SCALE, meta_name, model_name, reference};

const API_VERSION: &str = "Group and version of this object's schema.";
const KIND: &str = "Kind of this object, in camel case; cannot change.";

/// Kubernetes' own types that documents refer to.
pub(super) fn meta(kinds: &[Kind<'_>]) -> Map<String, Value> {
    let types: Map<String, Value> = serde_json::from_str(include_str!("meta.json"))
        .expect("the file beside this one is JSON: a test reads it");
    let mut versions: Vec<(&str, &str)> =
        kinds.iter().map(|one| (one.group, one.version)).collect();
    versions.push(("", "v1"));
    versions.sort_unstable();
    versions.dedup();
    let mut definitions = Map::new();
    for (name, mut schema) in types {
        let kinds_of = match name.as_str() {
            "DeleteOptions" => versions.as_slice(),
            "Status" => &[("", "v1")],
            _ => &[],
        };
        if !kinds_of.is_empty() {
            schema["x-kubernetes-group-version-kind"] = kinds_of
                .iter()
                .map(|(group, version)| json!({"group": group, "kind": name, "version": version}))
                .collect();
        }
        definitions.insert(meta_name(&name), schema);
    }
    definitions
}

/// The types of the `scale` subresource.
pub(super) fn add_scale(definitions: &mut Map<String, Value>) {
    let part = |name: &str| json!({"default": {}, "allOf": [reference(name)]});
    let replicas = |text: &str| json!({"description": text, "type": "integer", "format": "int32", "default": 0});
    let (spec, status) = (format!("{SCALE}Spec"), format!("{SCALE}Status"));
    let mut scale = json!({
        "description": "How often something runs.",
        "type": "object",
        "properties": {
            "metadata": part(&meta_name("ObjectMeta")),
            "spec": part(&spec),
            "status": part(&status),
        },
        "x-kubernetes-group-version-kind":
            [{"group": "autoscaling", "kind": "Scale", "version": "v1"}],
    });
    add_type_meta(&mut scale);
    definitions.insert(SCALE.to_owned(), scale);
    let wanted = json!({
        "description": "How often it is to run.",
        "type": "object",
        "properties": {"replicas": replicas("The wanted number.")},
    });
    definitions.insert(spec, wanted);
    let observed = json!({
        "description": "How often it does run.",
        "type": "object",
        "required": ["replicas"],
        "properties": {
            "replicas": replicas("The number there is."),
            "selector": {"description": "Which objects are counted.", "type": "string"},
        },
    });
    definitions.insert(status, observed);
}

/// The schemas of a kind and its list.
pub(super) fn add(kind: &Kind<'_>, definitions: &mut Map<String, Value>) {
    let name = model_name(kind, kind.kind);
    let mut object = structural(kind.schema);
    let metadata = json!({
        "description": "Standard metadata of an object.",
        "allOf": [reference(&meta_name("ObjectMeta"))],
    });
    set(&mut object, "metadata", metadata);
    add_type_meta(&mut object);
    let mut list = json!({
        "description": format!("{} is a list of {}", kind.list_kind, kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {
                "description": format!("List of {}.", kind.plural),
                "type": "array",
                "items": reference(&name),
            },
            "metadata": {
                "description": "Standard metadata of a list.",
                "allOf": [reference(&meta_name("ListMeta"))],
            },
        },
    });
    add_type_meta(&mut list);
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

fn add_type_meta(schema: &mut Value) {
    for (name, description) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let property = json!({"description": description, "type": "string"});
        set(schema, name, property);
    }
}

fn set(schema: &mut Value, name: &str, property: Value) {
    if let Some(fields) = schema.as_object_mut() {
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert(name.to_owned(), property);
        }
    }
}

/// A manifest's schema as it is published: what is implied is spelled out.
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
            // False is the same as nothing.
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
    let mut schema = Value::Object(out);
    if schema["x-kubernetes-embedded-resource"] == Value::Bool(true) {
        embed(&mut schema);
    }
    schema
}

/// Adds what every embedded object has.
fn embed(schema: &mut Value) {
    add_type_meta(schema);
    let metadata = json!({
        "description": "Standard metadata of an object.",
        "allOf": [reference(&meta_name("ObjectMeta"))],
    });
    set(schema, "metadata", metadata);
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    for name in ["kind", "apiVersion"] {
        if !required.iter().any(|one| one == name) {
            required.push(Value::from(name));
        }
    }
    schema["required"] = Value::Array(required);
}
