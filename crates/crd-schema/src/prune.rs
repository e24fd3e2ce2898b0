//! Removes fields that are not in the schema.

use std::fmt::Write as _;

use serde_json::Value;

use crate::structural::{Additional, Structural};
use crate::unknown::Unknown;

/// Removes unknown fields from an object and returns their paths, sorted. The number of paths is
/// limited.
///
/// `apiVersion`, `kind` and `metadata` at the root are always known; below
/// `x-kubernetes-preserve-unknown-fields` only fields with a schema are processed.
pub fn prune(object: &mut Value, schema: &Structural) -> Vec<String> {
    let mut pruner = Pruner::default();
    pruner.node(object, Some(schema), true);
    pruner.unknown.into_sorted()
}

/// Removes unknown fields from a part of an object; type and metadata are known only in embedded
/// objects.
pub(crate) fn prune_part(value: &mut Value, schema: &Structural) {
    Pruner::default().node(value, Some(schema), false);
}

#[derive(Default)]
struct Pruner {
    /// The path of the current value.
    path: String,
    unknown: Unknown,
}

pub(crate) fn is_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

impl Pruner {
    fn node(&mut self, value: &mut Value, schema: Option<&Structural>, root: bool) {
        let keep = schema.is_some_and(|schema| schema.extensions.preserve_unknown_fields);
        let embedded = root || schema.is_some_and(|schema| schema.extensions.embedded_resource);
        match value {
            Value::Object(map) => map.retain(|key, value| {
                if embedded && is_meta(key) {
                    return true;
                }
                let below = match schema {
                    None => None,
                    Some(schema) => match schema.properties.get(key) {
                        Some(below) => Some(Some(below)),
                        None => schema.additional_properties.as_ref().map(below),
                    },
                };
                match below {
                    Some(below) => {
                        // Most values are scalars, which have no children.
                        if value.is_object() || value.is_array() {
                            let parent = self.enter(key);
                            self.node(value, below, false);
                            self.path.truncate(parent);
                        }
                        true
                    }
                    None if keep => true,
                    None => {
                        self.unknown.field(&self.path, key);
                        false
                    }
                }
            }),
            Value::Array(items) => {
                let below = schema.and_then(|schema| schema.items.as_deref());
                for (index, item) in items.iter_mut().enumerate() {
                    let parent = self.enter_item(index);
                    // A list below preserved fields passes the preservation on to its items.
                    if keep && !below.is_some_and(|below| below.extensions.preserve_unknown_fields)
                    {
                        self.preserved(item, below);
                    } else {
                        self.node(item, below, false);
                    }
                    self.path.truncate(parent);
                }
            }
            _ => {}
        }
    }

    /// Processes an item of a list whose unknown fields are preserved.
    fn preserved(&mut self, value: &mut Value, schema: Option<&Structural>) {
        let Some(schema) = schema else { return };
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if schema.extensions.embedded_resource && is_meta(key) {
                        continue;
                    }
                    let known = schema.properties.get(key);
                    let additional = || schema.additional_properties.as_ref().map(below);
                    let Some(below) = known.map(Some).or_else(additional) else {
                        continue;
                    };
                    let parent = self.enter(key);
                    self.node(value, below, false);
                    self.path.truncate(parent);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let parent = self.enter_item(index);
                    self.preserved(item, schema.items.as_deref());
                    self.path.truncate(parent);
                }
            }
            _ => {}
        }
    }

    /// Appends a field to the path; returns the path's previous length.
    fn enter(&mut self, key: &str) -> usize {
        let parent = self.path.len();
        if parent > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        parent
    }

    /// Appends an item to the path; returns the path's previous length.
    fn enter_item(&mut self, index: usize) -> usize {
        let parent = self.path.len();
        // Writing to a String does not fail.
        let _ = write!(self.path, "[{index}]");
        parent
    }
}

fn below(additional: &Additional) -> Option<&Structural> {
    match additional {
        Additional::Any(_) => None,
        Additional::Schema(schema) => Some(schema),
    }
}
