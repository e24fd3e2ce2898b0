//! Filling in defaults.

use serde_json::Value;

use crate::structural::Structural;

/// Gives missing fields their defaults, also inside of defaults; says whether anything changed.
/// A null that the schema does not permit counts as missing. Parents are not made.
pub fn apply(value: &mut Value, schema: &Structural) -> bool {
    if !schema.below.default {
        return false;
    }
    match value {
        Value::Object(map) => {
            let mut changed = false;
            for (name, below) in &schema.properties {
                let Some(default) = &below.default else {
                    continue;
                };
                let missing = map
                    .get(name)
                    .is_none_or(|value| value.is_null() && !below.nullable);
                if missing {
                    map.insert(name.clone(), default.clone());
                    changed = true;
                }
            }
            for (name, value) in map {
                if let Some(below) = schema.properties.get(name) {
                    changed |= apply(value, below);
                } else if let Some(below) = schema.additional() {
                    changed |= item(value, below);
                }
            }
            changed
        }
        Value::Array(items) => {
            let Some(below) = schema.items.as_deref() else {
                return false;
            };
            let apply = |changed, value| item(value, below) | changed;
            items.iter_mut().fold(false, apply)
        }
        _ => false,
    }
}

/// A value that is there, if only as null.
fn item(value: &mut Value, schema: &Structural) -> bool {
    let mut changed = false;
    if value.is_null()
        && !schema.nullable
        && let Some(default) = &schema.default
    {
        *value = default.clone();
        changed = true;
    }
    apply(value, schema) | changed
}
