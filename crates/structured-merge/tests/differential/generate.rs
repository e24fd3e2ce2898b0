//! Random cases: types, objects of the types, histories of writes, and texts of sets.

use rand::prelude::*;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use crate::types::{Relation, T};

/// Names of members: few, so that writes overlap.
const NAMES: &[&str] = &["a", "b", "c", "x/y", "<k>", "é", "\"", "\u{2028}"];
/// Texts of values: few, and all kinds of escapes.
const TEXTS: &[&str] = &[
    "a",
    "b",
    "c",
    "",
    "<&>",
    "\u{2028}\u{7f}",
    "\"\\\n",
    "é\u{1}\u{a0}",
];
const VERSIONS: [&str; 2] = ["v1", "v2"];

/// A generator of one case.
pub(crate) struct Generator {
    pub(crate) rng: StdRng,
    /// How often values do not fit their types.
    sloppiness: f64,
}

// === impl Generator ===

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let sloppiness = *[0.0, 0.0, 0.0, 0.03].choose(&mut rng).expect("choices");
        Self { rng, sloppiness }
    }

    pub(crate) fn case(&mut self) -> Value {
        let fields: Vec<(String, T)> = (0..self.rng.random_range(1..4))
            .map(|n| (["a", "b", "c"][n].to_owned(), self.ty(3)))
            .collect();
        let mut types = vec![
            crate::types::deduced("__untyped_deduced_", "separable"),
            crate::types::deduced("__untyped_atomic_", "atomic"),
        ];
        for version in VERSIONS {
            for variant in [false, true] {
                types.push(root(&fields, version, variant));
            }
        }
        let one_version = self.chance(0.6);
        let keeps_schema = self.chance(0.6);
        let mut last = self.object(&fields);
        let steps: Vec<Value> = (0..self.rng.random_range(2..7))
            .map(|_| {
                let variant = !keeps_schema && self.chance(0.5);
                let version = usize::from(!one_version && self.chance(0.4));
                let update = self.chance(0.4);
                let object = match self.rng.random_range(0..3) {
                    0 => self.object(&fields),
                    1 => self.changed(&fields, &last, 0.1),
                    _ => self.changed(&fields, &last, 0.4),
                };
                if update {
                    last.clone_from(&object);
                }
                self.step(update, object, version, variant)
            })
            .collect();
        let mut ignored = Map::new();
        if self.chance(0.2) {
            let fields = json!({"f:a_v1": {}, "f:b_v1": {"f:a": {}}});
            ignored.insert("v1".to_owned(), fields);
        }
        let mut included = Map::new();
        if self.chance(0.1) {
            let prefixes = json!([["ver"], ["a_v1", null, "p"], ["a_v1", "a"], ["b_v1", null]]);
            included.insert("v1".to_owned(), prefixes);
        }
        let texts: Vec<String> = (0..6).map(|_| self.fields_text()).collect();
        json!({"schema": {"types": types}, "ignored": ignored, "included": included, "steps": steps, "fields": texts})
    }

    fn step(&mut self, update: bool, object: Value, version: usize, variant: bool) -> Value {
        let version = VERSIONS[version];
        let mut types = Map::new();
        for other in VERSIONS {
            // Versions other than that of the request may have been removed.
            if other == version || self.chance(0.9) {
                types.insert(other.to_owned(), json!(root_name(other, variant)));
            }
        }
        let mut members = Map::new();
        members.insert("ver".to_owned(), json!(version));
        if let Value::Object(object) = object {
            members.extend(
                object
                    .into_iter()
                    .map(|(k, v)| (format!("{k}_{version}"), v)),
            );
        }
        let manager = ["m1", "m2", "m\"3"].choose(&mut self.rng);
        let force = self.chance(0.5);
        json!({
            "op": if update { "update" } else { "apply" },
            "manager": manager,
            "version": version,
            "types": types,
            "object": members,
            "force": force,
        })
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn ty(&mut self, depth: usize) -> T {
        if depth == 0 || self.chance(0.15) {
            return self.scalar_type();
        }
        match self.rng.random_range(0..10) {
            0..3 => self.map_type(depth),
            3..7 => self.list_type(depth),
            7 => T::Deduced,
            8 => T::Untyped,
            _ => T::Any(
                Box::new(self.list_type(depth)),
                Box::new(self.map_type(depth)),
            ),
        }
    }

    fn scalar_type(&mut self) -> T {
        let kinds = ["numeric", "string", "boolean", "untyped"];
        T::Scalar(kinds[self.rng.random_range(0..kinds.len())])
    }

    fn map_type(&mut self, depth: usize) -> T {
        let declared = self.rng.random_range(0..4);
        let names: Vec<&str> = NAMES
            .choose_multiple(&mut self.rng, declared)
            .copied()
            .collect();
        let fields: Vec<(String, T, Value)> = names
            .into_iter()
            .map(|name| (name.to_owned(), self.ty(depth - 1), Value::Null))
            .collect();
        let others = fields.is_empty() || self.chance(0.3);
        T::Map {
            elements: others.then(|| Box::new(self.ty(depth - 1))),
            fields,
            atomic: self.chance(0.15),
            flips: self.chance(0.3),
        }
    }

    fn list_type(&mut self, depth: usize) -> T {
        let flips = self.chance(0.3);
        match self.rng.random_range(0..4) {
            0 => T::List {
                items: Box::new(self.ty(depth - 1)),
                relation: Relation::Atomic,
                flips: false,
            },
            1 => T::List {
                items: Box::new(self.scalar_type()),
                relation: Relation::Set,
                flips,
            },
            _ => self.keyed_list_type(depth, flips),
        }
    }

    fn keyed_list_type(&mut self, depth: usize, flips: bool) -> T {
        let count = self.rng.random_range(1..3);
        let keys: Vec<String> = NAMES
            .choose_multiple(&mut self.rng, count)
            .map(|name| (*name).to_owned())
            .collect();
        let mut fields: Vec<(String, T, Value)> = Vec::new();
        for key in &keys {
            // Null is no default.
            let kinds = [
                ("numeric", json!(1)),
                ("string", json!("a")),
                ("untyped", json!(1.5)),
            ];
            let (kind, default) = kinds.choose(&mut self.rng).expect("kinds").clone();
            let default = if self.chance(0.4) {
                default
            } else {
                Value::Null
            };
            fields.push((key.clone(), T::Scalar(kind), default));
        }
        for name in ["p", "q"] {
            fields.push((name.to_owned(), self.ty(depth - 1), Value::Null));
        }
        let items = T::Map {
            fields,
            elements: None,
            atomic: self.chance(0.1),
            flips: false,
        };
        T::List {
            items: Box::new(items),
            relation: Relation::Keys(keys),
            flips,
        }
    }

    fn object(&mut self, fields: &[(String, T)]) -> Value {
        let mut members = Map::new();
        for (name, ty) in fields {
            if self.chance(0.8) {
                members.insert(name.clone(), self.value(ty));
            }
        }
        Value::Object(members)
    }

    fn value(&mut self, ty: &T) -> Value {
        if self.chance(0.04) {
            return Value::Null;
        }
        if self.sloppiness > 0.0 && self.rng.random_bool(self.sloppiness) {
            return [
                json!("odd"),
                json!(7),
                json!([1, {"a": null}]),
                json!({"z": [true]}),
            ]
            .choose(&mut self.rng)
            .expect("odd values")
            .clone();
        }
        match ty {
            T::Scalar(kind) => self.scalar(kind),
            T::Deduced | T::Untyped => self.free(2),
            T::Any(list, map) => match self.rng.random_range(0..3) {
                0 => self.scalar("untyped"),
                1 => self.value(list),
                _ => self.value(map),
            },
            T::Map {
                fields, elements, ..
            } => {
                let mut members = Map::new();
                for (name, ty, _) in fields {
                    if self.chance(0.6) {
                        members.insert(name.clone(), self.value(ty));
                    }
                }
                if let Some(elements) = elements {
                    for name in NAMES.choose_multiple(&mut self.rng.clone(), 2) {
                        if self.chance(0.6) && !members.contains_key(*name) {
                            members.insert((*name).to_owned(), self.value(elements));
                        }
                    }
                    self.rng.next_u32();
                }
                Value::Object(members)
            }
            T::List {
                items, relation, ..
            } => {
                let length = self.rng.random_range(0..5);
                let values = (0..length).map(|_| self.value(items));
                let mut values: Vec<Value> = values.collect();
                if *relation != Relation::Atomic && self.chance(0.9) {
                    unique(&mut values, relation, items);
                }
                Value::Array(values)
            }
        }
    }

    fn scalar(&mut self, kind: &str) -> Value {
        let number = [
            json!(0),
            json!(1),
            json!(1.0),
            json!(1.5),
            json!(-2),
            json!(1e21),
            json!(1e-7),
            json!(10),
            json!(9_007_199_254_740_993_i64),
        ];
        match kind {
            "numeric" => number.choose(&mut self.rng).expect("numbers").clone(),
            "string" => json!(TEXTS.choose(&mut self.rng)),
            "boolean" => json!(self.chance(0.5)),
            _ => {
                let kind = ["numeric", "string", "boolean"].choose(&mut self.rng);
                self.scalar(kind.expect("kinds"))
            }
        }
    }

    /// A value without a schema.
    fn free(&mut self, depth: usize) -> Value {
        match self.rng.random_range(0..5) {
            0 if depth > 0 => (0..self.rng.random_range(0..3))
                .map(|_| self.free(depth - 1))
                .collect(),
            1 | 2 if depth > 0 => (0..self.rng.random_range(0..3))
                .map(|n| (NAMES[n].to_owned(), self.free(depth - 1)))
                .collect(),
            _ => self.scalar("untyped"),
        }
    }

    /// The object with some of its members replaced or dropped.
    fn changed(&mut self, fields: &[(String, T)], object: &Value, rate: f64) -> Value {
        let mut members = Map::new();
        for (name, ty) in fields {
            match object.get(name) {
                Some(value) if !self.chance(rate / 2.0) => {
                    members.insert(name.clone(), self.changed_value(ty, value, rate));
                }
                None if self.chance(rate) => {
                    members.insert(name.clone(), self.value(ty));
                }
                _ => {}
            }
        }
        Value::Object(members)
    }

    fn changed_value(&mut self, ty: &T, value: &Value, rate: f64) -> Value {
        if self.chance(rate / 2.0) {
            return self.value(ty);
        }
        match (ty, value) {
            (T::Map { fields, .. }, Value::Object(members)) => {
                let mut out = members.clone();
                for (name, ty, _) in fields {
                    if let Some(value) = members.get(name) {
                        out.insert(name.clone(), self.changed_value(ty, value, rate));
                    }
                }
                out.retain(|_, _| !self.chance(rate / 2.0));
                Value::Object(out)
            }
            (T::List { items, .. }, Value::Array(values)) => {
                let mut out: Vec<Value> = values
                    .iter()
                    .map(|value| self.changed_value(items, value, rate))
                    .collect();
                out.retain(|_| !self.chance(rate / 2.0));
                if self.chance(rate) {
                    out.shuffle(&mut self.rng);
                }
                Value::Array(out)
            }
            _ => value.clone(),
        }
    }

    /// Mostly a set; sometimes with a character replaced.
    fn fields_text(&mut self) -> String {
        let mut text = self.fields(2);
        if self.chance(0.5) {
            let at: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = *at.choose(&mut self.rng).expect("a text");
            let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
            let with = [
                "", "1", "\"", "\\\\", "n", " ", "-", ".", "e", "{", "]", "\\\"", "+",
            ];
            text.replace_range(at..end, with.choose(&mut self.rng).expect("texts"));
        }
        text
    }

    fn fields(&mut self, depth: usize) -> String {
        let elements = [
            ".",
            "f:a",
            "f:b",
            "f:",
            "f:é<",
            "i:1",
            "i:-2",
            "i:+3",
            "i:x",
            "v:1",
            "v:1.0",
            "v:2",
            "v:10",
            "v:-+1",
            "v:\\\"a\\\"",
            "v:\\\"<\\\"",
            "v:true",
            "v:null",
            "v:1e5",
            "v:01",
            "v:[1,2]",
            "v:{\\\"a\\\":1}",
            "v: 1 ",
            "v:1 2",
            "v:\\\"\\\\ud800\\\\u0041\\\"",
            "v:\\\"\\\\ud83d\\\\ude00\\\"",
            "v:9007199254740993",
            "v:1e400",
            "v:-",
            "v:1.",
            "v:",
            "k:{}",
            "k:null",
            "k:{\\\"a\\\":1}",
            "k:{\\\"b\\\":1,\\\"a\\\":\\\"x\\\"}",
            "k:[]",
            "k:{\\\"a\\\":1,\\\"a\\\":2}",
            "x:1",
            "é:",
            "",
            "f",
            "fa",
        ];
        let likely = ["f:a", "f:b", "v:1", "k:{\\\"a\\\":1}", "."];
        let members: Vec<String> = (0..self.rng.random_range(0..4))
            .map(|_| {
                let pool: &[&str] = if self.chance(0.75) {
                    &likely
                } else {
                    &elements
                };
                let element = *pool.choose(&mut self.rng).expect("elements");
                let below = match depth {
                    0 => "{}".to_owned(),
                    _ if self.chance(0.05) => {
                        ["null", "1", "[]"][self.rng.random_range(0..3)].to_owned()
                    }
                    _ => self.fields(depth - 1),
                };
                format!("\"{element}\":{below}")
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

/// Drops items that repeat the key of another one, so that most lists are valid.
fn unique(values: &mut Vec<Value>, relation: &Relation, items: &T) {
    let default = |key: &String| match items {
        T::Map { fields, .. } => fields
            .iter()
            .find(|(name, _, _)| name == key)
            .map_or(Value::Null, |(_, _, default)| default.clone()),
        _ => Value::Null,
    };
    let mut seen: Vec<Value> = Vec::new();
    values.retain(|value| {
        let key = match relation {
            Relation::Keys(keys) => keys
                .iter()
                .map(|key| value.get(key).cloned().unwrap_or_else(|| default(key)))
                .collect(),
            _ => value.clone(),
        };
        let omitted = key
            .as_array()
            .is_some_and(|key| key.iter().all(Value::is_null));
        let key = crate::types::as_floats(&key);
        let fresh = !omitted && !value.is_null() && !seen.contains(&key);
        seen.push(key);
        fresh
    });
}

fn root_name(version: &str, variant: bool) -> String {
    format!("root_{version}_{variant}")
}

fn root(fields: &[(String, T)], version: &str, variant: bool) -> Value {
    let mut members = vec![json!({"name": "ver", "type": {"scalar": "string"}})];
    members.extend(fields.iter().map(
        |(name, ty)| json!({"name": format!("{name}_{version}"), "type": ty.render(variant)}),
    ));
    json!({"name": root_name(version, variant), "map": {"fields": members}})
}
