//! Removing fields that the schema does not know.

use std::fmt::Write as _;

use serde_json::Value;

use crate::structural::{Additional, Structural};
use crate::unknown::UnknownPaths;

/// Removes unknown fields from an object and returns their paths, sorted.
///
/// `apiVersion`, `kind` and `metadata` at the root are always known; below
/// `x-kubernetes-preserve-unknown-fields` only fields with a schema of their own are looked at.
pub fn prune(object: &mut Value, schema: &Structural) -> Vec<String> {
    let mut pruner = Pruner::default();
    pruner.node(object, Some(schema), true);
    pruner.unknown.into_sorted()
}

#[derive(Default)]
struct Pruner {
    way: Vec<Step>,
    unknown: UnknownPaths,
}

enum Step {
    Key(String),
    Index(usize),
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
                        // Scalars have nothing below, and most values are scalars.
                        if value.is_object() || value.is_array() {
                            self.way.push(Step::Key(key.clone()));
                            self.node(value, below, false);
                            self.way.pop();
                        }
                        true
                    }
                    None if keep => true,
                    None => {
                        self.record(key);
                        false
                    }
                }
            }),
            Value::Array(items) => {
                let below = schema.and_then(|schema| schema.items.as_deref());
                for (index, item) in items.iter_mut().enumerate() {
                    self.way.push(Step::Index(index));
                    // A list below preserved fields passes the preservation on to its items.
                    if keep && !below.is_some_and(|below| below.extensions.preserve_unknown_fields)
                    {
                        self.preserved(item, below);
                    } else {
                        self.node(item, below, false);
                    }
                    self.way.pop();
                }
            }
            _ => {}
        }
    }

    /// An item of a list whose unknown fields are kept.
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
                    self.way.push(Step::Key(key.clone()));
                    self.node(value, below, false);
                    self.way.pop();
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.way.push(Step::Index(index));
                    self.preserved(item, schema.items.as_deref());
                    self.way.pop();
                }
            }
            _ => {}
        }
    }

    fn record(&mut self, key: &str) {
        let way = &self.way;
        self.unknown.add(|| path(way, key));
    }
}

fn path(way: &[Step], key: &str) -> String {
    let mut text = String::new();
    for step in way {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            // A String takes every character.
            Step::Index(index) => drop(write!(text, "[{index}]")),
        }
    }
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(key);
    text
}

fn below(additional: &Additional) -> Option<&Structural> {
    match additional {
        Additional::Any(_) => None,
        Additional::Schema(schema) => Some(schema),
    }
}
