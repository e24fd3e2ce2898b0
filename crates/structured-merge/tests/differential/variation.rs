//! Histories of variations of a given object.

use rand::prelude::*;
use serde_json::{Map, Value, json};

use crate::generate::Generator;

impl Generator {
    /// Writes of variations of one object of a type of the current schema.
    pub(crate) fn history(&mut self, ty: &str, object: &Value) -> Value {
        let steps: Vec<Value> = (0..4)
            .map(|at| {
                let manager = ["m1", "m2"].choose(&mut self.rng);
                let update = at == 0 || self.chance(0.3);
                let rate = if update { 0.02 } else { 0.1 };
                json!({
                    "op": if update { "update" } else { "apply" },
                    "manager": manager,
                    "version": "v1",
                    "types": {"v1": ty},
                    "object": self.variation(object, rate),
                    "force": self.chance(0.5),
                })
            })
            .collect();
        json!({"ignored": {}, "included": {}, "steps": steps, "fields": []})
    }

    /// The value with some parts dropped or changed.
    fn variation(&mut self, value: &Value, rate: f64) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .filter(|_| !self.rng.random_bool(rate))
                .map(|(name, member)| (name.clone(), member.clone()))
                .collect::<Map<_, _>>()
                .into_iter()
                .map(|(name, member)| (name, self.variation(&member, rate)))
                .collect(),
            Value::Array(items) => {
                let kept: Vec<&Value> = items
                    .iter()
                    .filter(|_| !self.rng.random_bool(rate))
                    .collect();
                let varied = kept.into_iter().map(|item| self.variation(item, rate));
                let mut varied: Vec<Value> = varied.collect();
                if self.rng.random_bool(rate) {
                    varied.shuffle(&mut self.rng);
                }
                Value::Array(varied)
            }
            Value::String(text) if self.rng.random_bool(rate / 4.0) => json!(format!("{text}x")),
            Value::Number(_) if self.rng.random_bool(rate / 4.0) => json!(7),
            other => other.clone(),
        }
    }
}
