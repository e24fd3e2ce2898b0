//! Applies defaults.

use kube_json::{Weight, member_memory};
use serde_json::Value;

use crate::structural::Structural;

/// Memory, in bytes, that defaults may add before the whole tree is weighed. Defaults of real kinds
/// need a few kilobytes.
const UNWEIGHED_MEMORY: usize = 4 << 20;

/// Limit, in bytes, of the memory of a tree once its defaults have used [`UNWEIGHED_MEMORY`]. An
/// update holds the old tree and the new one, and a request may use 64 MiB plus eight times its
/// size.
const TREE_MEMORY: usize = 40 << 20;

/// The defaults of an object exceed a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// The text of the defaults is too large.
    #[error("defaults add more than {limit} bytes")]
    Text {
        /// Limit in bytes: the JSON of each default, plus 16.
        limit: usize,
    },
    /// The object with its defaults needs too much memory.
    #[error("the object with its defaults takes more than {limit} bytes of memory")]
    Memory {
        /// Limit in bytes.
        limit: usize,
    },
}

/// Sets missing fields to their defaults, also inside of defaults; returns whether anything
/// changed. A null that the schema does not permit counts as missing. Missing parents are not
/// created.
///
/// Empty items in a request may become large, so a small request could exhaust the memory. Two
/// limits prevent that: `limit` bytes of text, where each default counts 16 more than its JSON
/// (with the 3 MiB of a body that is about the size that kube-apiserver can store in etcd, whose
/// limit is 2 MiB), and 40 MiB for the memory of the tree once its defaults use more than 4 MiB.
///
/// # Errors
/// If a limit is exceeded. Defaults up to the limit, in order, have been applied.
pub fn apply(value: &mut Value, schema: &Structural, limit: usize) -> Result<bool, TooLarge> {
    let mut filler = Filler {
        left: limit,
        memory: UNWEIGHED_MEMORY,
        changed: false,
    };
    let mut filled = filler.node(value, schema);
    if matches!(filled, Err(LimitExceeded::Memory)) {
        filler.memory = TREE_MEMORY.saturating_sub(Weight::of(value).memory);
        // Continues after the applied defaults, because fields that have a value are unchanged.
        filled = filler.node(value, schema);
    }
    match filled {
        Ok(()) => Ok(filler.changed),
        Err(LimitExceeded::Text) => Err(TooLarge::Text { limit }),
        Err(LimitExceeded::Memory) => Err(TooLarge::Memory { limit: TREE_MEMORY }),
    }
}

struct Filler {
    /// Bytes of text that may still be added.
    left: usize,
    /// Bytes of memory that may still be added.
    memory: usize,
    changed: bool,
}

/// The exceeded limit.
enum LimitExceeded {
    Text,
    Memory,
}

impl Filler {
    fn node(&mut self, value: &mut Value, schema: &Structural) -> Result<(), LimitExceeded> {
        if !schema.below.default {
            return Ok(());
        }
        match value {
            Value::Object(map) => {
                for (name, below) in &schema.properties {
                    let Some(default) = &below.default else {
                        continue;
                    };
                    let missing = map
                        .get(name)
                        .is_none_or(|value| value.is_null() && !below.nullable);
                    if missing {
                        let default_memory = below.below.default_memory;
                        self.take(
                            name.len() + below.below.default_bytes,
                            member_memory(map.len(), name) + default_memory,
                        )?;
                        map.insert(name.clone(), default.clone());
                    }
                }
                for (name, value) in map {
                    if let Some(below) = schema.properties.get(name) {
                        self.node(value, below)?;
                    } else if let Some(below) = schema.additional() {
                        self.item(value, below)?;
                    }
                }
            }
            Value::Array(items) => {
                if let Some(below) = schema.items.as_deref() {
                    for value in items {
                        self.item(value, below)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Processes a value that exists, possibly as null.
    fn item(&mut self, value: &mut Value, schema: &Structural) -> Result<(), LimitExceeded> {
        if value.is_null()
            && !schema.nullable
            && let Some(default) = &schema.default
        {
            self.take(schema.below.default_bytes, schema.below.default_memory)?;
            *value = default.clone();
        }
        self.node(value, schema)
    }

    /// Counts a default of `text` bytes of text and `memory` bytes of memory.
    fn take(&mut self, text: usize, memory: usize) -> Result<(), LimitExceeded> {
        self.memory = self
            .memory
            .checked_sub(memory)
            .ok_or(LimitExceeded::Memory)?;
        self.left = self.left.checked_sub(text).ok_or(LimitExceeded::Text)?;
        self.changed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api_types::field::Path;
    use serde_json::{Value, json};

    use super::{TooLarge, apply};
    use crate::structural;

    #[test]
    fn defaults_beyond_the_text_limit_are_not_applied() {
        let default = "x".repeat(1000);
        let schema = json!({
            "type": "object",
            "properties": {"items": {"type": "array", "items": {
                "type": "object",
                "properties": {"a": {"type": "string", "default": default}},
            }}},
        });
        let mut errors = Vec::new();
        let schema = structural::parse(&schema, &Path::new("schema"), &mut errors);
        assert_eq!(errors, []);
        let object = |count| json!({"items": vec![json!({}); count]});
        assert_eq!(apply(&mut object(97), &schema, 100_000), Ok(true));
        let mut many = object(1_000);
        let outcome = apply(&mut many, &schema, 100_000);
        assert_eq!(outcome, Err(TooLarge::Text { limit: 100_000 }));
        let filled = |item: &&Value| item.get("a").is_some();
        let items = many["items"].as_array().expect("a list");
        assert_eq!(items.iter().filter(filled).count(), 97);
    }

    #[test]
    fn defaults_beyond_the_memory_limit_are_not_applied() {
        // 60 bytes of text, and 640 of memory.
        let lists = (0..20).fold(json!([]), |inner, _| json!([inner]));
        let anything = json!({"type": "array", "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({
            "type": "object",
            "properties": {"items": {"type": "array", "items": {
                "type": "object",
                "properties": {"a": {
                    "type": "array", "default": lists, "items": anything}},
            }}},
        });
        let mut errors = Vec::new();
        let schema = structural::parse(&schema, &Path::new("schema"), &mut errors);
        assert_eq!(errors, []);
        let object = |count| json!({"items": vec![json!({}); count]});
        // More than [`UNWEIGHED_MEMORY`] and less than [`TREE_MEMORY`].
        assert_eq!(apply(&mut object(20_000), &schema, 3 << 20), Ok(true));
        let outcome = apply(&mut object(40_000), &schema, 3 << 20);
        assert_eq!(outcome, Err(TooLarge::Memory { limit: 40 << 20 }));
    }
}
