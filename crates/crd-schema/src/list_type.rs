//! Uniqueness in lists that are sets or maps.

use std::collections::HashMap;

use api_types::field::{Error, Path};
use serde_json::{Map, Value};

use crate::structural::{ListType, Structural};

/// Reports items that occur twice, once per value, at the second occurrence. If the old object was
/// already wrong nothing is reported.
#[must_use]
pub fn validate(object: &Value, old: Option<&Value>, schema: &Structural) -> Vec<Error> {
    let mut errors = Vec::new();
    node(object, schema, &Path::nil(), &mut errors);
    if !errors.is_empty()
        && let Some(old) = old
    {
        let mut before = Vec::new();
        node(old, schema, &Path::nil(), &mut before);
        if !before.is_empty() {
            errors.clear();
        }
    }
    errors
}

fn node(value: &Value, schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    if !schema.below.unique_list {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    node(value, below, &path.child(key), errors);
                } else if let Some(below) = schema.additional() {
                    node(value, below, &path.key(key), errors);
                }
            }
        }
        Value::Array(items) => {
            match schema.extensions.list_type {
                Some(ListType::Set) => set(items, path, errors),
                Some(ListType::Map) => map(items, schema, path, errors),
                Some(ListType::Atomic) | None => {}
            }
            if let Some(below) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    node(item, below, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn set(items: &[Value], path: &Path<'_>, errors: &mut Vec<Error>) {
    for index in repeated(items.iter().map(kube_json::to_vec)) {
        let value = &items[index];
        errors.push(Error::duplicate(path.index(index), value));
    }
}

fn map(items: &[Value], schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    let fits = |item: &Value| item.is_object() || item.is_null();
    if let Some(index) = items.iter().position(|item| !fits(item)) {
        let detail = "must be an object for an array of list-type map";
        let value = &items[index];
        errors.push(Error::invalid(path.index(index), value, detail));
        return;
    }
    let keys: Vec<Value> = items
        .iter()
        .map(|item| {
            let names = schema.extensions.list_map_keys.iter();
            let found = names.filter_map(|name| Some((name.clone(), item.get(name)?.clone())));
            Value::Object(found.collect::<Map<_, _>>())
        })
        .collect();
    set(&keys, path, errors);
}

/// Where a text comes for the second time.
fn repeated(texts: impl Iterator<Item = Vec<u8>>) -> Vec<usize> {
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut repeated = Vec::new();
    for (index, text) in texts.enumerate() {
        let times = seen.entry(text).or_default();
        *times += 1;
        if *times == 2 {
            repeated.push(index);
        }
    }
    repeated
}
