//! Embedded objects (`x-kubernetes-embedded-resource`).

use api_types::field::{Error, Errors, Path};
use api_types::meta::Meta;
use api_types::names;
use serde_json::{Map, Value};

use crate::object_meta;
use crate::structural::Structural;

/// Validates the types and the metadata of embedded objects.
#[must_use]
pub fn validate(object: &Value, schema: &Structural) -> Errors {
    let mut errors = Errors::new();
    node(object, schema, &Path::nil(), &mut errors);
    errors
}

fn node(value: &Value, schema: &Structural, path: &Path<'_>, errors: &mut Errors) {
    if !schema.below.embedded {
        return;
    }
    match value {
        Value::Object(map) => {
            if schema.extensions.embedded_resource {
                resource(map, path, errors);
            }
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    node(value, below, &path.child(key), errors);
                } else if let Some(below) = schema.additional() {
                    node(value, below, &path.key(key), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    node(item, below, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn resource(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Errors) {
    for key in ["apiVersion", "kind"] {
        let path = path.child(key);
        match map.get(key) {
            None => errors.add(|| Error::required(path, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.add(|| Error::invalid(path, "", "must not be empty"));
            }
            Some(Value::String(text)) => {
                if let Some(detail) = malformed(key, text) {
                    errors.add(|| Error::invalid(path, text, detail));
                }
            }
            Some(other) => {
                errors.add(|| Error::invalid(path, other, "must be a string"));
            }
        }
    }
    if let Some(Value::Object(metadata)) = map.get("metadata") {
        let path = path.child("metadata");
        object_meta::validate_embedded(Meta::new(metadata), &path, errors);
    }
}

fn malformed(key: &str, text: &str) -> Option<String> {
    if key == "apiVersion" {
        let slashes = text.matches('/').count();
        return (slashes > 1).then(|| format!("unexpected GroupVersion string: {text}"));
    }
    let wrong = names::dns1035_label(&text.to_lowercase());
    let detail = "may have mixed case, but should otherwise match: ";
    (!wrong.is_empty()).then(|| format!("{detail}{}", wrong.join(",")))
}
