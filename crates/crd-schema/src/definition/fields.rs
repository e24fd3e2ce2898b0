//! Typed access to the fields of a manifest.

use std::sync::LazyLock;

use api_types::field::{Error, Path};
use serde_json::{Map, Value};

/// Replaces a missing map after its error was recorded.
static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// A map; an empty one, and an error, if the value is missing or has another type.
pub(super) fn object<'a>(
    value: Option<&'a Value>,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) -> &'a Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        None | Some(Value::Null) => {
            errors.push(Error::required(path, ""));
            &EMPTY
        }
        Some(other) => {
            errors.push(Error::type_invalid(path, other, "must be an object"));
            &EMPTY
        }
    }
}

/// A string; empty if it is missing or has another type.
pub(super) fn text<'a>(
    map: &'a Map<String, Value>,
    key: &str,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) -> &'a str {
    match map.get(key) {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(other) => {
            let path = path.child(key);
            errors.push(Error::type_invalid(path, other, "must be a string"));
            ""
        }
    }
}

/// A boolean; false if it is missing or has another type.
pub(super) fn flag(
    map: &Map<String, Value>,
    key: &str,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) -> bool {
    match map.get(key) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(value)) => *value,
        Some(other) => {
            let path = path.child(key);
            errors.push(Error::type_invalid(path, other, "must be a boolean"));
            false
        }
    }
}

/// A list; empty if it is missing or has another type.
pub(super) fn list<'a>(
    map: &'a Map<String, Value>,
    key: &str,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) -> &'a [Value] {
    match map.get(key) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(items)) => items,
        Some(other) => {
            let path = path.child(key);
            errors.push(Error::type_invalid(path, other, "must be a list"));
            &[]
        }
    }
}
