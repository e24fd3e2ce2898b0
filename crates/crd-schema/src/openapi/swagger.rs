//! Converts a document of version 3 to version 2.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::kubernetes::Published;

/// Converts the whole document; [`simplify`] has been applied to the schemas of kinds.
pub(super) fn rewrite(document: &mut Value, published: &Published) {
    let mut paths = document["paths"].take();
    let mut definitions = document["components"]["schemas"].take();
    for item in values(&mut paths) {
        for (key, operation) in item.as_object_mut().into_iter().flatten() {
            if key == "parameters" {
                parameters(operation);
            } else {
                rewrite_operation(operation);
            }
        }
    }
    for definition in values(&mut definitions) {
        version_2(definition);
    }
    references(&mut paths);
    references(&mut definitions);
    let used = share(&mut paths, published);
    let mut rewritten = json!({
        "swagger": "2.0",
        "paths": paths,
        "definitions": definitions,
        "parameters": published.shared(used.iter()),
    });
    if let Some(fields) = rewritten.as_object_mut() {
        fields.extend(published.document.clone());
    }
    *document = rewritten;
}

fn rewrite_operation(operation: &mut Value) {
    parameters(&mut operation["parameters"]);
    let patch = operation["x-kubernetes-action"] == "patch";
    let body = operation["requestBody"].take();
    if let Some(schema) = first_schema(&body) {
        let mut parameter = json!({"name": "body", "in": "body", "schema": schema});
        if body["required"] == Value::Bool(true) {
            parameter["required"] = Value::Bool(true);
        }
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.insert(0, parameter),
            None => operation["parameters"] = json!([parameter]),
        }
    }
    for response in values(&mut operation["responses"]) {
        let content = response["content"].take();
        if let Some(fields) = response.as_object_mut() {
            fields.remove("content");
            if let Some(schema) = first_schema(&json!({ "content": content })) {
                fields.insert(String::from("schema"), schema);
            }
        }
    }
    operation["schemes"] = json!(["https"]);
    operation["produces"] = json!(["application/json", "application/yaml"]);
    operation["consumes"] = if patch {
        json!([
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ])
    } else {
        json!(["application/json", "application/yaml"])
    };
    if let Some(fields) = operation.as_object_mut() {
        fields.remove("requestBody");
        if fields.get("parameters") == Some(&Value::Null) {
            fields.remove("parameters");
        }
    }
}

/// Parameters of version 2 contain their type directly.
fn parameters(list: &mut Value) {
    for parameter in list.as_array_mut().into_iter().flatten() {
        let Some(fields) = parameter.as_object_mut() else {
            continue;
        };
        if let Some(Value::Object(schema)) = fields.remove("schema") {
            fields.extend(schema);
        }
    }
}

fn first_schema(body: &Value) -> Option<Value> {
    let (_, content) = body["content"].as_object()?.iter().next()?;
    content.get("schema").cloned()
}

/// Replaces shared parameters by references; returns their keys.
fn share(paths: &mut Value, published: &Published) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut replace = |list: &mut Value| {
        for parameter in list.as_array_mut().into_iter().flatten() {
            if let Some(key) = published.shared_key(parameter) {
                *parameter = json!({"$ref": format!("#/parameters/{key}")});
                used.insert(key.to_owned());
            }
        }
    };
    for item in values(paths) {
        for (key, part) in item.as_object_mut().into_iter().flatten() {
            match key.as_str() {
                "parameters" => replace(part),
                _ => {
                    if let Some(list) = part.get_mut("parameters") {
                        replace(list);
                    }
                }
            }
        }
    }
    used
}

/// Removes keywords from a kind's schema that version 2 or kubectl's parser of it cannot represent.
pub(super) fn simplify(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    for key in ["allOf", "anyOf", "oneOf", "not"] {
        fields.remove(key);
    }
    if fields.remove("nullable") == Some(Value::Bool(true)) {
        for key in ["type", "items", "properties"] {
            fields.remove(key);
        }
    }
    free_unknown(fields);
    let nullable = |schema: &Value| schema["nullable"] == Value::Bool(true);
    let free: Vec<String> = fields
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, property)| nullable(property))
        .map(|(name, _)| name.clone())
        .collect();
    let all_free = fields.get("additionalProperties").is_some_and(nullable);
    if let Some(Value::Array(required)) = fields.get_mut("required") {
        required.retain(|name| !all_free && !free.iter().any(|one| name == one));
        if required.is_empty() {
            fields.remove("required");
        }
    }
    below(fields, simplify);
}

/// kubectl supports neither items and properties beside unknown fields, nor arrays without items.
fn free_unknown(fields: &mut Map<String, Value>) {
    let unknown = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if unknown {
        fields.remove("items");
        fields.remove("properties");
    }
    let kind = fields.get("type").and_then(Value::as_str);
    let bare = match kind {
        Some("array") => !fields.contains_key("items"),
        Some("object") => unknown,
        _ => false,
    };
    if bare {
        fields.remove("type");
    }
}

/// Converts a schema to version 2.
fn version_2(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    // Only version 3 wraps a reference that has a description.
    if let Some(Value::Array(parts)) = fields.remove("allOf")
        && let Some(Value::Object(reference)) = parts.into_iter().next()
    {
        fields.extend(reference);
    }
    // kube-aggregator publishes no defaults in version 2.
    fields.remove("default");
    below(fields, version_2);
}

/// Applies `change` to all direct subschemas.
fn below(fields: &mut Map<String, Value>, change: fn(&mut Value)) {
    for key in ["items", "additionalProperties"] {
        fields.entry(key).and_modify(change);
    }
    if let Some(properties) = fields.get_mut("properties") {
        values(properties).for_each(change);
    }
}

fn references(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(references),
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if key == "$ref" => {
                        *text = text.replace("#/components/schemas/", "#/definitions/");
                    }
                    other => references(other),
                }
            }
        }
        _ => {}
    }
}

fn values(map: &mut Value) -> impl Iterator<Item = &mut Value> {
    map.as_object_mut()
        .into_iter()
        .flatten()
        .map(|(_, value)| value)
}
