//! JSON merge patch (RFC 7386).

use api_types::status::ApiError;
use serde_json::Value;

/// Rejects a patch that is not an object.
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

/// Merges an object with a patch that is an object.
pub(super) fn apply(mut object: Value, patch: Value) -> Value {
    merge(&mut object, patch);
    object
}

fn merge(object: &mut Value, patch: Value) {
    let (current, patch) = match (&mut *object, patch) {
        (Value::Object(current), Value::Object(patch)) => (current, patch),
        // The library removes nulls only where an object replaces another value.
        (Value::Object(_), patch) => return *object = patch,
        (_, mut patch) => {
            drop_nulls(&mut patch);
            return *object = patch;
        }
    };
    for (key, mut value) in patch {
        match (&value, current.get_mut(&key)) {
            (Value::Null, _) => {
                current.remove(&key);
            }
            (_, Some(below)) if !below.is_null() => merge(below, value),
            _ => {
                drop_nulls(&mut value);
                current.insert(key, value);
            }
        }
    }
}

/// Removes the nulls in the objects of a new value; nulls in lists stay.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
