//! JSON patch (RFC 6902) with the behavior of `evanphx/json-patch` v4: negative indices are
//! allowed, `replace` and `copy` accept absent members, and null equals absent.

mod chunks;
mod error;
mod pointer;
mod tree;

use api_types::status::{ApiError, Details, Reason};
use serde_json::{Map, Value};

use super::duplicate;
use error::Inapplicable;
use kube_json::{MAX_DEPTH, Weight};
use pointer::Pointer;
use tree::Node;

/// Operations per patch: kube-apiserver's `maxJSONPatchOperations`.
const MAX_OPERATIONS: usize = 10_000;

/// Bytes of JSON that all copies of one patch may add: kube-apiserver sets the library's
/// `AccumulatedCopySizeLimit` to its limit of request bodies.
const MAX_COPIED: usize = 3 << 20;

/// Bytes of memory that all copies of one patch may add: a list of 30,000 small objects. Twice as
/// much exists when one more copy is rejected.
const MAX_COPIED_MEMORY: usize = 20 << 20;

/// Values that are visited to measure the depth of moved values. A move of a list of a million
/// items visits a million; ten such moves take 50 ms.
const MAX_MEASURED: usize = 10_000_000;

/// Members of an operation.
const MEMBERS: [&str; 4] = ["op", "path", "from", "value"];

/// Operations, applied in order.
#[derive(Debug)]
pub(super) struct JsonPatch(Vec<Map<String, Value>>);

/// A document and the remaining budgets of the patch.
struct Document {
    root: Node,
    copied: usize,
    copied_memory: usize,
    /// Remainder of [`MAX_MEASURED`].
    measured: usize,
}

impl JsonPatch {
    /// Parses a patch; also returns the errors of strict decoding.
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

    /// Parses the patch of an admission webhook.
    ///
    /// # Errors
    /// The text of Go's decoder.
    pub(super) fn of_webhook(body: Value) -> Result<Self, String> {
        let problem = |value: &Value, go_type: &str| {
            let found = kube_json::json_kind(value);
            format!("json: cannot unmarshal {found} into Go value of type jsonpatch.{go_type}")
        };
        let items = match body {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            other => return Err(problem(&other, "Patch")),
        };
        let operations = items.into_iter().map(|item| match item {
            Value::Object(operation) => Ok(operation),
            Value::Null => Ok(Map::new()),
            other => Err(problem(&other, "Operation")),
        });
        operations.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is no operation.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The operations, as a list.
    pub(super) fn to_value(&self) -> Value {
        self.0.clone().into_iter().map(Value::Object).collect()
    }

    /// Applies all operations; 422 without details if one does not apply.
    pub(super) fn apply(self, object: Value) -> Result<Value, ApiError> {
        self.apply_all(object).map_err(|_| rejected())
    }

    /// Applies all operations in O(n log n) of the size of object and patch, for lists with a small
    /// part of n^1.5. Neither the result nor an intermediate value exceeds the depth limit of a
    /// body.
    ///
    /// # Errors
    /// The library's text if an operation does not apply.
    pub(super) fn apply_all(self, object: Value) -> Result<Value, String> {
        let mut document = Document {
            root: Node::Whole(object),
            copied: 0,
            copied_memory: 0,
            measured: MAX_MEASURED,
        };
        for operation in self.0 {
            document.step(operation)?;
        }
        Ok(document.root.into_value())
    }
}

/// 422 without details.
fn rejected() -> ApiError {
    let message = "the server rejected our request due to an error in our request";
    ApiError::new(Reason::Invalid, message).with_details(Details::default())
}

/// A path of an operation, or the library's text for its absence.
fn path_of<'a>(operation: &'a Map<String, Value>, key: &str, op: &str) -> Result<&'a str, String> {
    let path = operation.get(key).and_then(Value::as_str);
    path.ok_or_else(|| {
        let missing = match (op, key) {
            ("add" | "remove" | "copy", "path") => "missing value",
            (_, "path") => "operation missing path field: missing value",
            _ => "operation, missing from field: missing value",
        };
        format!("{op} operation failed to decode {key}: {missing}")
    })
}

impl Document {
    fn step(&mut self, mut operation: Map<String, Value>) -> Result<(), String> {
        // The library treats an absent value as null.
        let value = operation.remove("value").unwrap_or(Value::Null);
        let op = operation.get("op").and_then(Value::as_str);
        let op = op.unwrap_or("unknown");
        let path = |key| path_of(&operation, key, op);
        match op {
            "add" => {
                let path = path("path")?;
                self.add(path, value).map_err(|error| error.in_add(path))
            }
            "remove" => {
                let path = path("path")?;
                let removed = self.remove(path);
                removed.map(drop).map_err(|error| error.in_remove(path))
            }
            "replace" => self.replace(path("path")?, value),
            "test" => self.test(path("path")?, &value),
            "move" => {
                let from = path("from")?;
                let moved = self.remove(from);
                let moved = moved.map_err(|error| error.in_move_from(from))?;
                let path = path("path")?;
                let added = self.add_moved(path, moved);
                added.map_err(|error| error.in_move_to(path))
            }
            "copy" => {
                let from = path("from")?;
                let value = self.copied(from);
                let value = value.map_err(|error| error.in_copy_from(from))?;
                let path = path("path")?;
                self.add(path, value)
                    .map_err(|error| error.in_copy_to(path))
            }
            other => Err(format!("Unexpected kind: {other}")),
        }
    }

    fn add(&mut self, path: &str, value: Value) -> Result<(), Inapplicable> {
        let path = Pointer::new(path)?;
        fits(path, Weight::of(&value).depth)?;
        path.add(&mut self.root, Node::Whole(value))
    }

    fn add_moved(&mut self, path: &str, moved: Node) -> Result<(), Inapplicable> {
        let path = Pointer::new(path)?;
        fits(path, moved.depth(&mut self.measured)?)?;
        path.add(&mut self.root, moved)
    }

    fn remove(&mut self, path: &str) -> Result<Node, Inapplicable> {
        Pointer::new(path)?.remove(&mut self.root)
    }

    fn replace(&mut self, path: &str, value: Value) -> Result<(), String> {
        if path.is_empty() {
            if !value.is_object() && !value.is_array() {
                let text = "replace operation value must be object or array: %!w(<nil>)";
                return Err(text.to_owned());
            }
            self.root = Node::Whole(value);
            return Ok(());
        }
        let set = || {
            let path = Pointer::new(path)?;
            fits(path, Weight::of(&value).depth)?;
            path.set(&mut self.root, Node::Whole(value))
        };
        set().map_err(|error: Inapplicable| error.in_replace(path))
    }

    fn test(&self, path: &str, expected: &Value) -> Result<(), String> {
        let found = if path.is_empty() {
            Ok(Some(self.root.view()))
        } else {
            Pointer::new(path).and_then(|path| path.get(&self.root))
        };
        match found.map_err(|error| error.in_test(path))? {
            None if expected.is_null() => Ok(()),
            Some(found) if found.equals(expected) => Ok(()),
            _ => Err(format!("testing value {path} failed: test failed")),
        }
    }

    /// A copy of a value, within the limits of all copies.
    fn copied(&mut self, from: &str) -> Result<Value, Inapplicable> {
        let found = Pointer::new(from)?.get(&self.root)?;
        let value = found.map_or(Value::Null, |it| it.to_value());
        self.copied += kube_json::to_vec(&value).len();
        self.copied_memory += Weight::of(&value).memory;
        if self.copied > MAX_COPIED || self.copied_memory > MAX_COPIED_MEMORY {
            return Err(Inapplicable::Limit);
        }
        Ok(value)
    }
}

/// Rejects a value that would exceed the depth limit at its destination. Checked before every
/// change, because a value beyond the limit can be neither cloned nor dropped. Go's library also
/// fails on such values, when it encodes or opens the document.
fn fits(path: Pointer<'_>, depth: usize) -> Result<(), Inapplicable> {
    if path.len() + depth > MAX_DEPTH {
        return Err(Inapplicable::Limit);
    }
    Ok(())
}

/// Checks the types of the members, which strict decoding checks first.
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

/// The error for a body or operation of the wrong type.
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
