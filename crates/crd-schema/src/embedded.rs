//! Embedded objects (`x-kubernetes-embedded-resource`).

use api_types::field::{Error, Errors, Path};
use api_types::meta::Meta;
use api_types::names;
use serde_json::{Map, Value};

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
        object_meta(metadata, &path.child("metadata"), errors);
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

fn object_meta(metadata: &Map<String, Value>, path: &Path<'_>, errors: &mut Errors) {
    let meta = Meta::new(metadata);
    let mut report = |key: &str, value: &str, details: Vec<String>| {
        for detail in details {
            errors.add(|| Error::invalid(path.child(key), value, detail));
        }
    };
    if !meta.generate_name().is_empty() {
        let details = names::path_segment(meta.generate_name());
        report("generateName", meta.generate_name(), details);
    }
    report("name", meta.name(), names::path_segment(meta.name()));
    if !meta.namespace().is_empty() {
        let details = names::dns1123_label(meta.namespace());
        report("namespace", meta.namespace(), details);
    }
    for (key, value) in meta.labels() {
        report("labels", key, names::qualified_name(key));
        report("labels", value, names::label_value(value));
    }
    for (key, _) in meta.annotations() {
        report(
            "annotations",
            key,
            names::qualified_name(&key.to_lowercase()),
        );
    }
    for finalizer in meta.finalizers() {
        report("finalizers", finalizer, names::qualified_name(finalizer));
    }
}
