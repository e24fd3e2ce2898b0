//! `x-kubernetes-list-type`, its keys, and `x-kubernetes-map-type`.

use api_types::field::{Error, Path};
use serde_json::Value;

use super::super::{Kind, ListType, MapType, Structural};

/// Checks a node and its subschemas.
pub(super) fn check(schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    types(schema, path, errors);
    if let (Some(kind), Some(items)) = (schema.extensions.list_type, &schema.items) {
        match kind {
            ListType::Atomic => {}
            ListType::Set => set(items, path, errors),
            ListType::Map => map(schema, items, path, errors),
        }
    }
    let properties = path.child("properties");
    for (name, child) in &schema.properties {
        check(child, &properties.key(name), errors);
    }
    if let Some(child) = schema.additional() {
        check(child, &path.child("additionalProperties"), errors);
    }
    if let Some(child) = &schema.items {
        check(child, &path.child("items"), errors);
    }
}

fn types(schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    let extensions = &schema.extensions;
    for (set, want, key) in [
        (
            extensions.map_type.is_some(),
            Kind::Object,
            "x-kubernetes-map-type",
        ),
        (
            extensions.list_type.is_some(),
            Kind::Array,
            "x-kubernetes-list-type",
        ),
    ] {
        if set && schema.kind != Some(want) {
            let detail = format!("must be {} if {key} is specified", want.name());
            let path = path.child("type");
            errors.push(match schema.kind {
                None => Error::required(path, detail),
                Some(kind) => Error::invalid(path, kind.name(), detail),
            });
        }
    }
    if !extensions.list_map_keys.is_empty() && extensions.list_type != Some(ListType::Map) {
        let path = path.child("x-kubernetes-list-type");
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match extensions.list_type {
            None => Error::required(path, detail),
            Some(ListType::Set) => Error::invalid(path, "set", detail),
            Some(ListType::Atomic | ListType::Map) => Error::invalid(path, "atomic", detail),
        });
    }
    if extensions.list_map_keys.is_empty() && extensions.list_type == Some(ListType::Map) {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        let path = path.child("x-kubernetes-list-map-keys");
        errors.push(Error::required(path, detail));
    }
}

fn not_nullable(items: &Structural, kind: &str, path: &Path<'_>, errors: &mut Vec<Error>) {
    if items.nullable {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        errors.push(Error::forbidden(path.child("nullable"), detail));
    }
}

fn set(items: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    let path = path.child("items");
    not_nullable(items, "set", &path, errors);
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let extensions = &items.extensions;
    if items.kind == Some(Kind::Array)
        && extensions
            .list_type
            .is_some_and(|kind| kind != ListType::Atomic)
    {
        let path = path.child("x-kubernetes-list-type");
        let found = match extensions.list_type {
            Some(ListType::Map) => "map",
            _ => "set",
        };
        errors.push(Error::invalid(path, found, detail));
    }
    if items.kind == Some(Kind::Object) && extensions.map_type != Some(MapType::Atomic) {
        let path = path.child("x-kubernetes-map-type");
        errors.push(Error::invalid(path, &Value::Null, detail));
    }
}

fn map(schema: &Structural, items: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    let keys = &schema.extensions.list_map_keys;
    let items_path = path.child("items");
    not_nullable(items, "map", &items_path, errors);
    if items.kind != Some(Kind::Object) {
        let found = items.kind.map_or("", Kind::name);
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(items_path.child("type"), found, detail));
        return;
    }
    let properties = items_path.child("properties");
    let keys_path = path.child("x-kubernetes-list-map-keys");
    for (index, key) in keys.iter().enumerate() {
        if keys[..index].contains(key) {
            let detail = "must not contain duplicate entries";
            errors.push(Error::invalid(keys_path, keys.as_slice(), detail));
        }
        let Some(field) = items.properties.get(key) else {
            let detail = "entries must all be names of item properties";
            errors.push(Error::invalid(keys_path, keys.as_slice(), detail));
            continue;
        };
        let path = properties.key(key);
        if matches!(field.kind, Some(Kind::Array | Kind::Object)) {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(Error::invalid(path.child("type"), "object", detail));
        }
        if !items.rules.required.contains(key) && field.default.is_none() {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a \
                          default or be a required property";
            errors.push(Error::required(path.child("default"), detail));
        }
        if field.nullable {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(Error::forbidden(path.child("nullable"), detail));
        }
    }
}
