//! Removes nulls that are not permitted.

use serde_json::Value;

use crate::structural::Structural;

/// Removes fields that are null if the schema neither permits null nor has a default. Items of
/// lists remain, and then fail validation.
pub fn drop_nulls(value: &mut Value, schema: &Structural) {
    match value {
        Value::Object(map) => map.retain(|key, value| {
            let Some(below) = schema.field(key) else {
                return true;
            };
            if value.is_null() && !below.nullable && below.default.is_none() {
                return false;
            }
            drop_nulls(value, below);
            true
        }),
        Value::Array(items) => {
            if let Some(below) = schema.items.as_deref() {
                items.iter_mut().for_each(|item| drop_nulls(item, below));
            }
        }
        _ => {}
    }
}
