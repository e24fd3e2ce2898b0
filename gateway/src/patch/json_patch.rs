//! JSON patch, RFC 6902, with the ways of `evanphx/json-patch` v4: indices may be negative, replacing
//! or copying what an object lacks works, and null equals absent.

mod pointer;

use api_types::status::{ApiError, Details, Reason};
use serde_json::{Map, Value};

use super::duplicate;
use pointer::find;

/// The most operations of one patch.
const MAX_OPERATIONS: usize = 10_000;

/// The most bytes that all copies of one patch may add.
const MAX_COPIED: usize = 3 << 20;

/// What one operation may hold.
const MEMBERS: [&str; 4] = ["op", "path", "from", "value"];

/// Operations, applied in order.
#[derive(Debug)]
pub(super) struct JsonPatch(Vec<Map<String, Value>>);

/// An operation does not apply; clients are not told more.
struct Fails;

impl JsonPatch {
    /// Reads a patch, and what strict decoding says about it.
    pub(super) fn read(
        body: Value,
        duplicates: &[String],
        lenient: bool,
    ) -> Result<(Self, Vec<String>), ApiError> {
        let items = match body {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            other => return Err(wrong_type(&other, "", lenient)),
        };
        let mut operations = Vec::with_capacity(items.len());
        let mut problems = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Value::Object(operation) => {
                    if !lenient {
                        check_members(&operation)?;
                        problems.extend(unknown_members(index, &operation));
                    }
                    operations.push(operation);
                }
                Value::Null => operations.push(Map::new()),
                other => return Err(wrong_type(&other, "element", lenient)),
            }
        }
        if operations.len() > MAX_OPERATIONS {
            return Err(ApiError::too_large(format!(
                "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            )));
        }
        let doubled = duplicates.iter().filter(|path| !path.contains(".value"));
        let mut all: Vec<String> = doubled
            .map(|path| format!("json patch {}", duplicate(path)))
            .collect();
        all.append(&mut problems);
        Ok((Self(operations), all))
    }

    /// The object with all operations applied.
    pub(super) fn apply(&self, mut object: Value) -> Result<Value, ApiError> {
        let mut copied = 0;
        for operation in &self.0 {
            step(&mut object, operation, &mut copied).map_err(|Fails| refused())?;
        }
        Ok(object)
    }
}

/// 422 without a reason that could be read.
fn refused() -> ApiError {
    let message = "the server rejected our request due to an error in our request";
    ApiError::new(Reason::Invalid, message).with_details(Details::default())
}

fn step(
    object: &mut Value,
    operation: &Map<String, Value>,
    copied: &mut usize,
) -> Result<(), Fails> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str).ok_or(Fails);
    // Nothing and null are the same value to the library.
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match text("op")? {
        "add" => find(object, text("path")?)?.add(value()),
        "remove" => find(object, text("path")?)?.remove().map(drop),
        "replace" => replace(object, text("path")?, value()),
        "test" => test(object, text("path")?, operation.get("value")),
        "move" => {
            let moved = find(object, text("from")?)?.remove()?;
            find(object, text("path")?)?.add(moved)
        }
        "copy" => {
            let value = find(object, text("from")?)?.get()?.unwrap_or(Value::Null);
            *copied += kube_json::to_vec(&value).len();
            if *copied > MAX_COPIED {
                return Err(Fails);
            }
            find(object, text("path")?)?.add(value)
        }
        _ => Err(Fails),
    }
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), Fails> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err(Fails);
        }
        *object = value;
        return Ok(());
    }
    find(object, path)?.set(value)
}

fn test(object: &mut Value, path: &str, expected: Option<&Value>) -> Result<(), Fails> {
    let found = if path.is_empty() {
        Some(object.clone())
    } else {
        find(object, path)?.get()?
    };
    let present = |value: &Value| !value.is_null();
    match (found.filter(present), expected.filter(|it| present(it))) {
        (None, None) => Ok(()),
        (Some(found), Some(expected)) if found == *expected => Ok(()),
        _ => Err(Fails),
    }
}

/// The members' types, which strict decoding looks at first.
fn check_members(operation: &Map<String, Value>) -> Result<(), ApiError> {
    for key in ["op", "path", "from"] {
        match operation.get(key) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "error decoding patch: json: cannot unmarshal {} into Go struct field \
                     jsonPatchOp.{key} of type string",
                    kube_json::json_kind(other)
                )));
            }
        }
    }
    Ok(())
}

fn unknown_members(index: usize, operation: &Map<String, Value>) -> Vec<String> {
    let unknown = operation
        .keys()
        .filter(|key| !MEMBERS.contains(&key.as_str()));
    unknown
        .map(|key| format!("json patch unknown field \"[{index}].{key}\""))
        .collect()
}

/// A body, or an operation, that is of the wrong type.
fn wrong_type(value: &Value, what: &str, lenient: bool) -> ApiError {
    let found = kube_json::json_kind(value);
    let (strict, library) = match what {
        "element" => ("handlers.jsonPatchOp", "jsonpatch.Operation"),
        _ => ("[]handlers.jsonPatchOp", "jsonpatch.Patch"),
    };
    ApiError::bad_request(if lenient {
        format!("json: cannot unmarshal {found} into Go value of type {library}")
    } else {
        format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type {strict}"
        )
    })
}
