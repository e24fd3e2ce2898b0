//! The fields of an object that its scale subresource exposes.

use api_types::field::{Error, Path};
use api_types::go_text;
use serde_json::{Map, Value};

/// The paths of the scale subresource, as written: `.spec.replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Desired replicas, below `.spec`.
    pub spec_replicas: String,
    /// Actual replicas, below `.status`.
    pub status_replicas: String,
    /// Selector of the replicas as text, below `.spec` or `.status`.
    pub label_selector: Option<String>,
}

/// A value on the path has another type than the path requires. The message is that of
/// `unstructured.NestedInt64`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AccessError(String);

/// Reads an integer at a path; `None` if it or a parent is missing.
///
/// # Errors
/// If a parent is not a map, or the value is not an integer.
pub fn integer(object: &Value, path: &str) -> Result<Option<i64>, AccessError> {
    match find(object, path)? {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(integer) => Ok(Some(integer)),
            None => Err(mismatch(path, value, "int64")),
        },
    }
}

/// Reads a string at a path; `None` if it or a parent is missing.
///
/// # Errors
/// If a parent is not a map, or the value is not a string.
pub fn text<'a>(object: &'a Value, path: &str) -> Result<Option<&'a str>, AccessError> {
    match find(object, path)? {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(value) => Err(mismatch(path, value, "string")),
    }
}

/// Writes an integer at a path and creates missing parents.
///
/// # Errors
/// If a parent exists and is not a map.
pub fn set_integer(object: &mut Value, path: &str, number: i64) -> Result<(), AccessError> {
    let fields = fields(path);
    let (last, parents) = fields.split_last().unwrap_or((&"", &[]));
    let mut at = object;
    for (index, name) in parents.iter().enumerate() {
        let map = at.as_object_mut();
        let map = map.ok_or_else(|| not_a_map(&fields[..index]))?;
        at = map
            .entry(*name)
            .or_insert_with(|| Value::Object(Map::new()));
    }
    let map = at.as_object_mut();
    let map = map.ok_or_else(|| not_a_map(parents))?;
    map.insert((*last).to_owned(), Value::from(number));
    Ok(())
}

/// Validates the replicas and the selector of an object, in kube-apiserver's order: the desired
/// number first (omitted for a status update), then the status.
#[must_use]
pub fn validate(object: &Value, paths: &ScalePaths, status_only: bool) -> Vec<Error> {
    let mut errors = Vec::new();
    if !status_only {
        errors.extend(replicas(object, &paths.spec_replicas));
    }
    errors.extend(replicas(object, &paths.status_replicas));
    if let Some(path) = &paths.label_selector
        && let Err(error) = text(object, path)
    {
        errors.push(Error::invalid(Path::new(path), "", error.to_string()));
    }
    errors
}

fn replicas(object: &Value, path: &str) -> Option<Error> {
    let field = Path::new(path);
    match integer(object, path) {
        Err(error) => Some(Error::invalid(field, 0i64, error.to_string())),
        Ok(Some(count)) if count < 0 => Some(Error::invalid(
            field,
            count,
            "should be a non-negative integer",
        )),
        Ok(Some(count)) if count > i64::from(i32::MAX) => {
            let detail = "should be less than or equal to 2147483647";
            Some(Error::invalid(field, count, detail))
        }
        Ok(_) => None,
    }
}

fn fields(path: &str) -> Vec<&str> {
    path.strip_prefix('.').unwrap_or(path).split('.').collect()
}

fn find<'a>(object: &'a Value, path: &str) -> Result<Option<&'a Value>, AccessError> {
    let fields = fields(path);
    let mut at = object;
    for (index, name) in fields.iter().enumerate() {
        match at {
            Value::Null => return Ok(None),
            Value::Object(map) => match map.get(*name) {
                Some(value) => at = value,
                None => return Ok(None),
            },
            other => {
                return Err(AccessError(format!(
                    ".{} accessor error: {} is of the type {}, expected map[string]interface{{}}",
                    fields[..=index].join("."),
                    go_value(other),
                    kube_json::go_type(other),
                )));
            }
        }
    }
    Ok(Some(at))
}

fn mismatch(path: &str, value: &Value, want: &str) -> AccessError {
    AccessError(format!(
        ".{} accessor error: {} is of the type {}, expected {want}",
        path.strip_prefix('.').unwrap_or(path),
        go_value(value),
        kube_json::go_type(value)
    ))
}

fn not_a_map(fields: &[&str]) -> AccessError {
    AccessError(format!(
        "value cannot be set because .{} is not a map[string]interface{{}}",
        fields.join(".")
    ))
}

/// Go's `%v` of a value.
pub(crate) fn go_value(value: &Value) -> String {
    let mut text = String::new();
    write_go_value(value, &mut text);
    text
}

fn write_go_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&match number.as_i64() {
            Some(integer) => integer.to_string(),
            None => go_text::float(number.as_f64().unwrap_or_default()),
        }),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_go_value(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                write_go_value(value, out);
            }
            out.push(']');
        }
    }
}
