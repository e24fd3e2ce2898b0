//! The fields of `metav1.ObjectMeta`, and the messages of Go's decoder about their types.

use api_types::field::Path;
use api_types::time;
use serde_json::{Map, Value};

use super::Mode;

/// The type of a field.
enum Shape {
    /// A string; the name of its Go type.
    Text(&'static str),
    Integer,
    Bool,
    Time,
    /// Any value, unchanged.
    Raw,
    TextMap,
    TextList,
    /// A list of structs: the name of the struct and its fields.
    Structs(&'static str, &'static [Field]),
}

struct Field {
    name: &'static str,
    shape: Shape,
    /// Whether the field is written even if it is empty.
    always: bool,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        always: false,
    }
}

const fn always(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        always: true,
    }
}

/// Limit of reported unknown fields in one object's metadata, as in `sigs.k8s.io/json`.
const MAX_UNKNOWN: usize = 100;

/// Empty texts that are filled in for missing fields of all metadata of an object, as Go's structs have
/// them. An owner reference without fields takes 3 bytes in the request and 700 with its four texts, so
/// that this is 18 MiB of memory; etcd has no room for so many references.
const MAX_FILLED: usize = 100_000;

const STRING: Shape = Shape::Text("string");

const OBJECT_META: &[Field] = &[
    field("annotations", Shape::TextMap),
    field("creationTimestamp", Shape::Time),
    field("deletionGracePeriodSeconds", Shape::Integer),
    field("deletionTimestamp", Shape::Time),
    field("finalizers", Shape::TextList),
    field("generateName", STRING),
    field("generation", Shape::Integer),
    field("labels", Shape::TextMap),
    field(
        "managedFields",
        Shape::Structs("ManagedFieldsEntry", MANAGED_FIELDS_ENTRY),
    ),
    field("name", STRING),
    field("namespace", STRING),
    field(
        "ownerReferences",
        Shape::Structs("OwnerReference", OWNER_REFERENCE),
    ),
    field("resourceVersion", STRING),
    field("selfLink", STRING),
    field("uid", Shape::Text("types.UID")),
];

const OWNER_REFERENCE: &[Field] = &[
    always("apiVersion", STRING),
    field("blockOwnerDeletion", Shape::Bool),
    field("controller", Shape::Bool),
    always("kind", STRING),
    always("name", STRING),
    always("uid", Shape::Text("types.UID")),
];

const MANAGED_FIELDS_ENTRY: &[Field] = &[
    field("apiVersion", STRING),
    field("fieldsType", STRING),
    field("fieldsV1", Shape::Raw),
    field("manager", STRING),
    field("operation", Shape::Text("v1.ManagedFieldsOperationType")),
    field("subresource", STRING),
    field("time", Shape::Time),
];

/// Converts metadata. The error is the message of Go's decoder.
pub(super) fn coerce(
    metadata: &mut Value,
    mode: Mode,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
    filled: &mut usize,
) -> Result<(), String> {
    let map = match metadata {
        Value::Object(map) => map,
        Value::Null => {
            *metadata = Value::Object(Map::new());
            return Ok(());
        }
        other if mode == Mode::DropInvalid => {
            let kind = kube_json::go_type(other);
            return Err(format!("invalid metadata: expected object, got {kind}"));
        }
        other => {
            let kind = kube_json::json_kind(other);
            return Err(format!(
                "json: cannot unmarshal {kind} into Go value of type v1.ObjectMeta"
            ));
        }
    };
    match mode {
        Mode::Strict => {
            check(map, "ObjectMeta", "", OBJECT_META).map_err(|error| error.text)?;
        }
        Mode::DropInvalid => map.retain(|key, value| match find(OBJECT_META, key) {
            Some(field) => check_field(value, field, "ObjectMeta", field.name).is_ok(),
            None => true,
        }),
    }
    normalize(map, OBJECT_META, path, unknown, filled);
    if mode == Mode::Strict && *filled > MAX_FILLED {
        return Err(format!(
            "{path} lacks more than {MAX_FILLED} required fields"
        ));
    }
    Ok(())
}

fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == name)
}

/// An error of Go's decoder, and whether it ends decoding. The decoder reports the first value of a
/// wrong type after it has read everything, but an error of a type with its own `UnmarshalJSON`
/// ends decoding immediately.
struct DecodeError {
    text: String,
    stops: bool,
}

fn check(
    map: &Map<String, Value>,
    owner: &str,
    prefix: &str,
    fields: &[Field],
) -> Result<(), DecodeError> {
    let mut first = Ok(());
    for (key, value) in map {
        let Some(field) = find(fields, key) else {
            continue;
        };
        let checked = if prefix.is_empty() {
            check_field(value, field, owner, field.name)
        } else {
            check_field(value, field, owner, &format!("{prefix}.{}", field.name))
        };
        first = first_error(first, checked)?;
    }
    first
}

/// The earlier of two errors, unless the later one ends decoding: then it is returned immediately.
fn first_error(
    first: Result<(), DecodeError>,
    next: Result<(), DecodeError>,
) -> Result<Result<(), DecodeError>, DecodeError> {
    match next {
        Err(error) if error.stops => Err(error),
        next => Ok(first.and(next)),
    }
}

fn check_field(value: &Value, field: &Field, owner: &str, name: &str) -> Result<(), DecodeError> {
    let mismatch = |value: &Value, want: &str| {
        let kind = match (want, value) {
            ("int64", Value::Number(_)) => format!("number {}", go_number(value)),
            _ => kube_json::json_kind(value).to_owned(),
        };
        Err(DecodeError {
            text: format!(
                "json: cannot unmarshal {kind} into Go struct field {owner}.{name} of type {want}"
            ),
            stops: matches!(field.shape, Shape::Time),
        })
    };
    let texts = |odd: Option<&Value>| match odd {
        Some(value) => mismatch(value, "string"),
        None => Ok(()),
    };
    let odd = |value: &&Value| !value.is_string() && !value.is_null();
    match (&field.shape, value) {
        (_, Value::Null)
        | (Shape::Raw, _)
        | (Shape::Text(_), Value::String(_))
        | (Shape::Bool, Value::Bool(_)) => Ok(()),
        (Shape::Integer, Value::Number(_)) if go_integer(value).is_some() => Ok(()),
        (Shape::Time, Value::String(text)) if time::parse(text).is_some() => Ok(()),
        (Shape::Time, Value::String(text)) => Err(DecodeError {
            text: format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \
                 \"2006\""
            ),
            stops: true,
        }),
        (Shape::TextMap, Value::Object(map)) => texts(map.values().find(odd)),
        (Shape::TextList, Value::Array(items)) => texts(items.iter().find(odd)),
        (Shape::Structs(structure, fields), Value::Array(items)) => {
            let mut first = Ok(());
            for item in items {
                let checked = match item {
                    Value::Object(map) => check(map, structure, name, fields),
                    Value::Null => Ok(()),
                    other => mismatch(other, &format!("v1.{structure}")),
                };
                first = first_error(first, checked)?;
            }
            first
        }
        (Shape::Time, other) => mismatch(other, "string"),
        (Shape::Text(want), other) => mismatch(other, want),
        (Shape::Integer, other) => mismatch(other, "int64"),
        (Shape::Bool, other) => mismatch(other, "bool"),
        (Shape::TextMap, other) => mismatch(other, "map[string]string"),
        (Shape::TextList, other) => mismatch(other, "[]string"),
        (Shape::Structs(structure, _), other) => mismatch(other, &format!("[]v1.{structure}")),
    }
}

/// Drops unknown and empty fields of metadata that passed the checks.
fn normalize(
    map: &mut Map<String, Value>,
    fields: &[Field],
    path: &Path<'_>,
    unknown: &mut Vec<String>,
    filled: &mut usize,
) {
    map.retain(|key, value| {
        let Some(field) = find(fields, key) else {
            if unknown.len() < MAX_UNKNOWN {
                unknown.push(path.child(key).to_string());
            }
            return false;
        };
        fill(value, &field.shape, &path.child(key), unknown, filled);
        field.always || !is_empty(value, &field.shape)
    });
    for field in fields.iter().filter(|field| field.always) {
        if *filled > MAX_FILLED {
            return;
        }
        if map.get(field.name).is_none_or(Value::is_null) {
            *filled += 1;
            map.insert(field.name.to_owned(), Value::from(""));
        }
    }
}

fn fill(
    value: &mut Value,
    shape: &Shape,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
    filled: &mut usize,
) {
    match (shape, value) {
        (Shape::Time, Value::String(text)) => {
            // Most timestamps already have this format.
            if text.len() == 20 && text.ends_with('Z') {
                return;
            }
            if let Some(normalized) = time::normalized(text) {
                *text = normalized;
            }
        }
        (Shape::Integer, value @ Value::Number(_)) => {
            if let Some(integer) = go_integer(value) {
                *value = integer.into();
            }
        }
        (Shape::TextMap, Value::Object(map)) => map.values_mut().for_each(empty_text),
        (Shape::TextList, Value::Array(items)) => items.iter_mut().for_each(empty_text),
        (Shape::Structs(_, fields), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                if item.is_null() {
                    *item = Value::Object(Map::new());
                }
                if let Value::Object(map) = item {
                    normalize(map, fields, &path.index(index), unknown, filled);
                }
            }
        }
        _ => {}
    }
}

fn empty_text(value: &mut Value) {
    if value.is_null() {
        *value = Value::from("");
    }
}

/// Whether `omitempty` omits the value; pointers are omitted only if nil.
fn is_empty(value: &Value, shape: &Shape) -> bool {
    match value {
        Value::Null => true,
        _ if matches!(shape, Shape::Raw) => false,
        // Go writes its zero time as null.
        Value::String(text) => {
            text.is_empty() || (matches!(shape, Shape::Time) && text == time::ZERO)
        }
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A number in Go's format, in which its decoder of metadata receives it.
fn go_number(value: &Value) -> String {
    String::from_utf8_lossy(&kube_json::to_vec(value)).into_owned()
}

/// The integer that Go decodes from a number: `1.0` is one, because the number was reformatted
/// before.
fn go_integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| go_number(value).parse().ok())
}
