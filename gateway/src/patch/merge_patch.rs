//! JSON merge patch, RFC 7386.

use api_types::status::ApiError;
use serde_json::{Map, Value};

/// Demands an object.
pub(super) fn check(patch: &Value, lenient: bool) -> Result<(), ApiError> {
    let kind = match patch {
        Value::Object(_) => return Ok(()),
        Value::Null => return Err(ApiError::bad_request("Invalid JSON Patch")),
        Value::Array(_) => "array",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
    };
    if lenient && kind != "array" {
        return Err(ApiError::bad_request("Invalid JSON Patch"));
    }
    Err(ApiError::bad_request(format!(
        "error decoding patch: json: cannot unmarshal {kind} into Go value of type \
         map[string]interface {{}}"
    )))
}

/// The object merged with a patch that is an object.
pub(super) fn apply(mut object: Value, patch: &Value) -> Value {
    merge(&mut object, patch);
    object
}

fn merge(object: &mut Value, patch: &Value) {
    let (Value::Object(current), Value::Object(patch)) = (&mut *object, patch) else {
        // The library prunes nulls only where an object replaces something else.
        *object = match object {
            Value::Object(_) => patch.clone(),
            _ => without_nulls(patch),
        };
        return;
    };
    for (key, value) in patch {
        match (value, current.get_mut(key)) {
            (Value::Null, _) => {
                current.remove(key);
            }
            (value, Some(below)) if !below.is_null() => merge(below, value),
            (value, _) => {
                current.insert(key.clone(), without_nulls(value));
            }
        }
    }
}

/// A value that is new: the nulls in its objects remove nothing and go; those in lists stay.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            let kept = kept.map(|(key, value)| (key.clone(), without_nulls(value)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}
