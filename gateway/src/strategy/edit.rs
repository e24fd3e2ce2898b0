//! Setters of metadata fields, as in `metav1.Object`: an empty value removes the field.

use serde_json::{Map, Value};

/// The metadata of an object; created if missing, replaced if it is not a map.
pub(super) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let slot = &mut object["metadata"];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("the slot was made a map"),
    }
}

/// Sets a field, or removes it without a value.
pub(super) fn set(object: &mut Value, key: &str, value: Option<Value>) {
    let metadata = metadata(object);
    match value {
        Some(value) => {
            metadata.insert(key.to_owned(), value);
        }
        None => {
            metadata.remove(key);
        }
    }
}

/// Sets a text field, or removes it if the text is empty.
pub(super) fn set_text(object: &mut Value, key: &str, text: &str) {
    set(object, key, (!text.is_empty()).then(|| text.into()));
}

/// Sets a list of texts, or removes it if empty.
pub(super) fn set_texts(object: &mut Value, key: &str, texts: &[String]) {
    let value = (!texts.is_empty()).then(|| texts.to_vec().into());
    set(object, key, value);
}
