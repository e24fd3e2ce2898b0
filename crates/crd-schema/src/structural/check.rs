//! The structural rules, which make the structure of a schema independent of its logic.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/{validation,complete}.go` and
//! `pkg/apis/apiextensions/validation`.

mod lists;
mod nested;

use api_types::field::{Error, Path};
use serde_json::Value;

use super::{Additional, Kind, Structural};

/// Position of a schema.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Reports every error for which kube-apiserver would reject the schema.
pub(crate) fn check(
    schema: &Structural,
    written: &Value,
    status: bool,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<String>,
) {
    if status {
        root_with_status(schema, written, path, errors);
    }
    if schema.nullable {
        let detail = "nullable cannot be true at the root";
        errors.push(Error::forbidden(path.child("nullable"), detail));
    }
    let mut structural = Vec::new();
    invariants(schema, Level::Root, path, &mut structural);
    nested::completeness(&schema.rules, Some(schema), path, path, &mut structural);
    structural.sort_by_cached_key(ToString::to_string);
    errors.append(&mut structural);
    lists::check(schema, path, errors);
    formats(schema, path, warnings);
}

fn root_with_status(
    schema: &Structural,
    written: &Value,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) {
    const ALLOWED: [&str; 22] = [
        "description",
        "type",
        "format",
        "title",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "multipleOf",
        "required",
        "items",
        "properties",
        "externalDocs",
        "example",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ];
    let named = schema.kind.map_or("", Kind::name);
    if !named.is_empty() && named != "object" {
        let detail = "only \"object\" is allowed as the type at the root of the schema if the \
                      status subresource is enabled";
        errors.push(Error::invalid(path.child("type"), named, detail));
        return;
    }
    let keys = written.as_object().into_iter().flat_map(|map| map.keys());
    for key in keys {
        if !ALLOWED.contains(&key.as_str()) {
            let detail = format!(
                "only {ALLOWED:?} fields are allowed at the root of the schema if the status \
                 subresource is enabled"
            );
            errors.push(Error::invalid(path, key, detail));
            return;
        }
    }
}

fn invariants(schema: &Structural, level: Level, path: &Path<'_>, errors: &mut Vec<Error>) {
    below(schema, level, path, errors);
    extensions(schema, path, errors);
    nested::rules(schema, path, errors);
    kind(schema, level, path, errors);
    metadata(schema, level, path, errors);
}

fn below(schema: &Structural, level: Level, path: &Path<'_>, errors: &mut Vec<Error>) {
    let items = path.child("items");
    match &schema.items {
        Some(schema) => invariants(schema, Level::Item, &items, errors),
        None if schema.kind == Some(Kind::Array) => {
            errors.push(Error::required(items, "must be specified"));
        }
        None => {}
    }
    let properties = path.child("properties");
    for (name, schema) in &schema.properties {
        invariants(schema, Level::Field, &properties.key(name), errors);
    }
    let additional = path.child("additionalProperties");
    if let Some(declared) = &schema.additional_properties {
        if level == Level::Root {
            errors.push(Error::forbidden(additional, "must not be used at the root"));
        }
        if !schema.properties.is_empty() && !matches!(declared, Additional::Any(true)) {
            let detail = "additionalProperties and properties are mutual exclusive";
            errors.push(Error::forbidden(additional, detail));
        }
        if schema.extensions.embedded_resource {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(Error::forbidden(additional, detail));
        }
        if let Additional::Schema(schema) = declared {
            invariants(schema, Level::Field, &additional, errors);
        }
    }
}

fn extensions(schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    let extensions = &schema.extensions;
    if !extensions.int_or_string {
        return;
    }
    let detail = "must be false if x-kubernetes-int-or-string is true";
    for (key, set) in [
        (
            "x-kubernetes-preserve-unknown-fields",
            extensions.preserve_unknown_fields,
        ),
        (
            "x-kubernetes-embedded-resource",
            extensions.embedded_resource,
        ),
    ] {
        if set {
            errors.push(Error::invalid(path.child(key), true, detail));
        }
    }
}

fn kind(schema: &Structural, level: Level, path: &Path<'_>, errors: &mut Vec<Error>) {
    let extensions = &schema.extensions;
    let path = path.child("type");
    match schema.kind {
        None if extensions.embedded_resource => {
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            errors.push(Error::required(path, detail));
        }
        None if extensions.int_or_string || extensions.preserve_unknown_fields => {}
        None => {
            let detail = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            errors.push(Error::required(path, detail));
        }
        Some(Kind::Object) => {}
        Some(kind) => {
            if extensions.embedded_resource {
                let detail = "must be object if x-kubernetes-embedded-resource is true";
                errors.push(Error::invalid(path, kind.name(), detail));
            }
            if level == Level::Root {
                let detail = "must be object at the root";
                errors.push(Error::invalid(path, kind.name(), detail));
            }
        }
    }
}

/// Requires the fixed types of `apiVersion`, `kind` and `metadata`.
fn metadata(schema: &Structural, level: Level, path: &Path<'_>, errors: &mut Vec<Error>) {
    let embedded = schema.extensions.embedded_resource;
    let properties = path.child("properties");
    let special = level == Level::Root || embedded;
    for (name, want) in [
        ("kind", Kind::String),
        ("apiVersion", Kind::String),
        ("metadata", Kind::Object),
    ] {
        let declared = schema.properties.get(name).filter(|_| special);
        if let Some(declared) = declared.filter(|declared| declared.kind != Some(want)) {
            let path = properties.key(name);
            let found = declared.kind.map_or("", Kind::name);
            let detail = format!("must be {}", want.name());
            errors.push(Error::invalid(path.child("type"), found, detail));
        }
    }
    if let Some(metadata) = schema.properties.get("metadata")
        && level == Level::Root
        && !only_names(metadata)
    {
        let detail = "must not specify anything other than name and generateName, but metadata is \
                      implicitly specified";
        errors.push(Error::forbidden(properties.key("metadata"), detail));
    }
    if embedded && !schema.extensions.preserve_unknown_fields && schema.properties.is_empty() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(properties, detail));
    }
}

fn only_names(metadata: &Structural) -> bool {
    let plain = metadata.title.is_empty()
        && metadata.description.is_empty()
        && !metadata.nullable
        && metadata.additional_properties.is_none()
        && metadata.items.is_none()
        && metadata.extensions == super::Extensions::default()
        && !metadata.rules.any();
    let mut names = metadata.properties.keys();
    plain && names.all(|name| name == "name" || name == "generateName")
}

/// Warns about formats that are not checked.
fn formats(schema: &Structural, path: &Path<'_>, warnings: &mut Vec<String>) {
    let properties = path.child("properties");
    for (name, child) in &schema.properties {
        formats(child, &properties.key(name), warnings);
    }
    if let Some(child) = schema.additional() {
        formats(child, &path.child("additionalProperties"), warnings);
    }
    if let Some(child) = &schema.items {
        formats(child, &path.child("items"), warnings);
    }
    let format = &schema.rules.format;
    if !format.is_empty() && !crate::format::recognized(schema.kind, format) {
        warnings.push(format!("{path}.format: unrecognized format {format:?}"));
    }
}
