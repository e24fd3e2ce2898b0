//! Random values of a schema.

use rand::prelude::*;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::kind::NAMES;

const TEXTS: [&str; 4] = ["a", "b", "c", ""];
/// Values that fit few schemas.
const STRANGE: [&str; 6] = ["null", "\"x\"", "7", "{}", "[]", "{\"zz\":1}"];

/// A source of values.
pub(super) struct Values<'a> {
    pub(super) rng: &'a mut StdRng,
    /// How often a value does not fit its schema.
    pub(super) sloppiness: f64,
}

// === impl Values ===

impl Values<'_> {
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// A value of the schema.
    pub(super) fn value(&mut self, schema: &Value) -> Value {
        if self.chance(self.sloppiness) {
            let text = STRANGE.choose(self.rng).copied().unwrap_or("null");
            return serde_json::from_str(text).unwrap_or_default();
        }
        if schema["nullable"] == true && self.chance(0.15) {
            return Value::Null;
        }
        if schema["x-kubernetes-int-or-string"] == true {
            let number = json!(self.rng.random_range(0..3));
            return if self.chance(0.5) {
                number
            } else {
                self.text()
            };
        }
        match schema["type"].as_str() {
            Some("integer") => json!(self.rng.random_range(0..4)),
            Some("number") => [json!(1), json!(0.5), json!(2.0), json!(1e3)]
                .choose(self.rng)
                .cloned()
                .unwrap_or_default(),
            Some("boolean") => json!(self.chance(0.5)),
            Some("string") => self.text(),
            Some("array") => self.list(schema),
            _ => self.map(schema),
        }
    }

    fn text(&mut self) -> Value {
        json!(TEXTS.choose(self.rng))
    }

    fn map(&mut self, schema: &Value) -> Value {
        let mut members = Map::new();
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            let required = schema["required"].as_array();
            let required = required.is_some_and(|names| names.iter().any(|it| it == name));
            if required && !self.chance(self.sloppiness) || self.chance(0.5) {
                members.insert(name.clone(), self.value(below));
            }
        }
        let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
        let additional = &schema["additionalProperties"];
        if open || additional.is_object() {
            for _ in 0..self.rng.random_range(0..3) {
                let name = NAMES.choose(self.rng).copied().unwrap_or("a");
                if !members.contains_key(name) {
                    let value = match additional.is_object() {
                        true => self.value(additional),
                        false => self.any(2),
                    };
                    members.insert(name.to_owned(), value);
                }
            }
        }
        Value::Object(members)
    }

    fn list(&mut self, schema: &Value) -> Value {
        let mut items: Vec<Value> = (0..self.rng.random_range(0..4))
            .map(|_| self.value(&schema["items"]))
            .collect();
        if !self.chance(self.sloppiness) {
            unique(&mut items, schema);
        }
        Value::Array(items)
    }

    /// A value without a schema.
    fn any(&mut self, depth: usize) -> Value {
        match self.rng.random_range(0..if depth == 0 { 3 } else { 5 }) {
            0 => json!(self.rng.random_range(0..4)),
            1 => self.text(),
            2 => json!(self.chance(0.5)),
            3 => (0..self.rng.random_range(0..3))
                .map(|_| self.any(depth - 1))
                .collect(),
            _ => {
                let names = NAMES.choose_multiple(self.rng, 2);
                let names: Vec<&str> = names.copied().collect();
                let members = names.into_iter();
                members
                    .map(|name| (name.to_owned(), self.any(depth - 1)))
                    .collect::<Map<_, _>>()
                    .into()
            }
        }
    }

    /// The value with about a third of its parts replaced.
    pub(super) fn changed(&mut self, value: &Value, schema: &Value) -> Value {
        let (Value::Object(old), Value::Object(new)) = (value, self.value(schema)) else {
            return self.value(schema);
        };
        let mut members = Map::new();
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            let kept = match old.get(name) {
                Some(value) if self.chance(0.3) => Some(self.changed(value, below)),
                Some(value) if self.chance(0.8) => Some(value.clone()),
                Some(_) => None,
                None => new.get(name).filter(|_| self.chance(0.3)).cloned(),
            };
            members.extend(kept.map(|value| (name.clone(), value)));
        }
        Value::Object(members)
    }

    /// A path in a value and a value of its place, as a JSON pointer.
    pub(super) fn place(&mut self, value: &Value, schema: &Value) -> (String, Value) {
        if let Value::Object(members) = value
            && let Some((name, below)) = members.iter().choose(self.rng)
            && self.chance(0.85)
        {
            let schema = match schema["properties"].get(name) {
                Some(below) => below,
                None => &schema["additionalProperties"],
            };
            let (path, value) = self.place(below, schema);
            return (format!("/{name}{path}"), value);
        }
        if let Value::Array(items) = value
            && !items.is_empty()
            && self.chance(0.7)
        {
            let at = self.rng.random_range(0..items.len());
            let (path, value) = self.place(&items[at], &schema["items"]);
            return (format!("/{at}{path}"), value);
        }
        (String::new(), self.value(schema))
    }
}

/// Drops items that repeat another one, so that most lists are valid.
fn unique(items: &mut Vec<Value>, schema: &Value) {
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let key = |item: &Value| match (schema["x-kubernetes-list-type"].as_str(), keys) {
        (Some("set"), _) => Some(item.to_string()),
        (Some("map"), Some(keys)) => {
            let parts = keys.iter().filter_map(Value::as_str).map(|name| {
                let default = &schema["items"]["properties"][name]["default"];
                item.get(name).unwrap_or(default).to_string()
            });
            Some(parts.collect::<Vec<_>>().join(","))
        }
        _ => None,
    };
    let mut seen = Vec::new();
    items.retain(|item| match key(item) {
        Some(key) if seen.contains(&key) => false,
        Some(key) => {
            seen.push(key);
            true
        }
        None => true,
    });
}
