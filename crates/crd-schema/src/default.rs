//! Filling in defaults.

use serde_json::Value;

use crate::structural::Structural;

/// Defaults are larger than they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("defaults add more than {limit} bytes")]
pub struct TooLarge {
    /// How much they may add, in bytes of JSON and 16 more for each.
    pub limit: usize,
}

/// Gives missing fields their defaults, also inside of defaults; says whether anything changed.
/// A null that the schema does not permit counts as missing. Parents are not made.
///
/// Items that are empty in the request may become large, so that a small request could fill the
/// memory: not more than `limit` bytes are added, each default counting 16 more than its JSON. With
/// the 3 MiB of a body that is about what kube-apiserver can store in etcd, which takes 2 MiB.
///
/// # Errors
/// If the defaults are larger. Those that fit, in order, are in their places.
pub fn apply(value: &mut Value, schema: &Structural, limit: usize) -> Result<bool, TooLarge> {
    let mut filler = Filler {
        left: limit,
        changed: false,
    };
    let filled = filler.node(value, schema);
    filled
        .map(|()| filler.changed)
        .map_err(|NoRoom| TooLarge { limit })
}

struct Filler {
    left: usize,
    changed: bool,
}

struct NoRoom;

impl Filler {
    fn node(&mut self, value: &mut Value, schema: &Structural) -> Result<(), NoRoom> {
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
                        self.take(name.len() + below.below.default_bytes)?;
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

    /// A value that is there, if only as null.
    fn item(&mut self, value: &mut Value, schema: &Structural) -> Result<(), NoRoom> {
        if value.is_null()
            && !schema.nullable
            && let Some(default) = &schema.default
        {
            self.take(schema.below.default_bytes)?;
            *value = default.clone();
        }
        self.node(value, schema)
    }

    /// Notes a change of so many bytes.
    fn take(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.left = self.left.checked_sub(bytes).ok_or(NoRoom)?;
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
    fn defaults_that_do_not_fit_are_not_made() {
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
        assert_eq!(outcome, Err(TooLarge { limit: 100_000 }));
        let filled = |item: &&Value| item.get("a").is_some();
        let items = many["items"].as_array().expect("a list");
        assert_eq!(items.iter().filter(filled).count(), 97);
    }
}
