//! Converts metadata to `metav1.ObjectMeta`: known fields only, with the right types.

mod object_meta;

use api_types::field::{Error, Path};
use serde_json::Value;

use crate::structural::Structural;
use crate::unknown::Unknown;

/// Treatment of malformed fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reject them, in requests.
    Strict,
    /// Drop them, in stored objects.
    DropInvalid,
}

/// Why metadata cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoerceError {
    /// The object's own metadata; the message is that of Go's decoder.
    #[error("{0}")]
    Root(String),
    /// The metadata, `apiVersion` or `kind` of an embedded object.
    #[error("{0}")]
    Embedded(Error),
}

/// Coerces the object's own metadata, then that of embedded objects. Returns the paths of unknown
/// fields: first those of the object, then the others.
///
/// # Errors
/// In strict mode, if a field has the wrong type.
pub fn metadata(
    object: &mut Value,
    schema: &Structural,
    mode: Mode,
) -> Result<Vec<String>, CoerceError> {
    let mut unknown = root(object, mode)?;
    unknown.extend(embedded(object, schema, mode)?);
    Ok(unknown)
}

/// Coerces the object's own metadata only. Call it before pruning.
///
/// # Errors
/// In strict mode, if a field has the wrong type; in both modes, if the metadata is not an object.
pub fn root(object: &mut Value, mode: Mode) -> Result<Vec<String>, CoerceError> {
    let Some(metadata) = object.get_mut("metadata") else {
        return Ok(Vec::new());
    };
    let mut unknown = Vec::new();
    let path = Path::new("metadata");
    object_meta::coerce(metadata, mode, &path, &mut unknown, &mut 0).map_err(CoerceError::Root)?;
    Ok(unknown)
}

/// Coerces the metadata of embedded objects. Call it after pruning.
///
/// # Errors
/// In strict mode, if a field has the wrong type.
pub fn embedded(
    object: &mut Value,
    schema: &Structural,
    mode: Mode,
) -> Result<Vec<String>, CoerceError> {
    let mut unknown = Unknown::default();
    node(object, schema, mode, &Path::nil(), &mut unknown)
        .map_err(|error| CoerceError::Embedded(*error))?;
    Ok(unknown.into_sorted())
}

fn node(
    value: &mut Value,
    schema: &Structural,
    mode: Mode,
    path: &Path<'_>,
    unknown: &mut Unknown,
) -> Result<(), Box<Error>> {
    if !schema.below.embedded {
        return Ok(());
    }
    if schema.extensions.embedded_resource {
        resource(value, mode, path, unknown)?;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    node(value, below, mode, &path.child(key), unknown)?;
                } else if let Some(below) = schema.additional() {
                    node(value, below, mode, &path.key(key), unknown)?;
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = schema.items.as_deref() {
                for (index, item) in items.iter_mut().enumerate() {
                    node(item, below, mode, &path.index(index), unknown)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn resource(
    value: &mut Value,
    mode: Mode,
    path: &Path<'_>,
    unknown: &mut Unknown,
) -> Result<(), Box<Error>> {
    let Value::Object(map) = value else {
        return Ok(());
    };
    for key in ["apiVersion", "kind"] {
        let Some(value) = map.get(key).filter(|value| !value.is_string()) else {
            continue;
        };
        if mode == Mode::Strict {
            let shown = value;
            let error = Error::invalid(path.child(key), shown, "must be a string");
            return Err(Box::new(error));
        }
        map.remove(key);
    }
    if let Some(metadata) = map.get_mut("metadata") {
        let path = path.child("metadata");
        let mut found = Vec::new();
        if let Err(text) =
            object_meta::coerce(metadata, mode, &path, &mut found, &mut unknown.filled)
            && mode == Mode::Strict
        {
            return Err(Box::new(Error::invalid(path, &*metadata, text)));
        }
        found.into_iter().for_each(|path| unknown.add(path));
    }
    Ok(())
}
