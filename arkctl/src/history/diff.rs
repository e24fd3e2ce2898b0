//! Differences between two values of an object.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

/// Maximum characters shown of a value.
const SHOWN: usize = 60;

/// A changed field.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    path: String,
    /// `None` if the field did not exist.
    old: Option<Value>,
    new: Option<Value>,
}

/// Returns the changed fields in the order of their paths. managedFields are omitted, because they
/// change with everything.
pub(super) fn fields(old: &Value, new: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    let present = |value: &Value| (!value.is_null()).then(|| value.clone());
    compare(
        String::new(),
        present(old).as_ref(),
        present(new).as_ref(),
        &mut found,
    );
    found
}

fn compare(path: String, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Field>) {
    if old == new || path == "metadata.managedFields" {
        return;
    }
    let empty = Value::Object(serde_json::Map::new());
    let either = (old.unwrap_or(&empty), new.unwrap_or(&empty));
    match either {
        // An added or removed object is shown as its fields.
        (Value::Object(before), Value::Object(after))
            if !before.is_empty() || !after.is_empty() =>
        {
            let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for name in names {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                compare(path, before.get(name), after.get(name), found);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for at in 0..before.len().max(after.len()) {
                compare(
                    format!("{path}[{at}]"),
                    before.get(at),
                    after.get(at),
                    found,
                );
            }
        }
        _ => found.push(Field {
            path,
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

impl Field {
    pub(super) fn document(&self) -> Value {
        json!({"path": self.path, "old": self.old, "new": self.new})
    }
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (old, new) = (shown(self.old.as_ref()), shown(self.new.as_ref()));
        write!(out, "{}: {old} → {new}", self.path)
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "(none)".to_owned();
    };
    let text = String::from_utf8_lossy(&kube_json::to_vec(value)).into_owned();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::fields;

    #[test]
    fn changed_fields_are_listed_by_path() {
        let managed = |time: &str| json!([{"time": time}]);
        let old = json!({"metadata": {"managedFields": managed("1"), "uid": "u"},
            "spec": {"a": 1, "list": [1, 2], "gone": true}});
        let new = json!({"metadata": {"managedFields": managed("2"), "uid": "u"},
            "spec": {"a": 2, "list": [1, 3, 4]}, "status": {"phase": "done"}});
        let lines: Vec<String> = fields(&old, &new).iter().map(ToString::to_string).collect();
        let expected = [
            "spec.a: 1 → 2",
            "spec.gone: true → (none)",
            "spec.list[1]: 2 → 3",
            "spec.list[2]: (none) → 4",
            "status.phase: (none) → \"done\"",
        ];
        assert_eq!(lines, expected);
        assert_eq!(fields(&old, &old), []);
        let created: Vec<String> = fields(&Value::Null, &json!({"a": {"b": 1}}))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(created, ["a.b: (none) → 1"]);
    }
}
