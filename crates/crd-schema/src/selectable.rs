//! Fields that field selectors support.

use api_types::field::{Error, Path};
use serde_json::Value;

use crate::scale::go_value;
use crate::structural::{Kind, Structural};

/// A field in `selectableFields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// The name in a field selector: `spec.color`.
    pub path: String,
    fields: Vec<String>,
}

impl SelectableField {
    /// A field from the path in a definition: `.spec.color`.
    #[must_use]
    pub fn new(json_path: &str) -> Self {
        let path = json_path.strip_prefix('.').unwrap_or(json_path);
        Self {
            path: path.to_owned(),
            fields: path.split('.').map(String::from).collect(),
        }
    }

    /// The field's value as a selector compares it; empty if it is missing.
    #[must_use]
    pub fn value(&self, object: &Value) -> String {
        let mut at = object;
        for field in &self.fields {
            match at.get(field) {
                Some(value) => at = value,
                None => return String::new(),
            }
        }
        match at {
            Value::Null => String::new(),
            value => go_value(value),
        }
    }
}

/// Limit of selectable fields of a version, as in kube-apiserver.
const MAX_FIELDS: usize = 8;

/// Reads `selectableFields`; each must be a scalar in the schema.
pub(crate) fn read(
    items: &[Value],
    schema: &Structural,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) -> Vec<SelectableField> {
    let mut fields: Vec<SelectableField> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let item_path = path.index(index);
        let path = item_path.child("jsonPath");
        let text = item.get("jsonPath").and_then(Value::as_str).unwrap_or("");
        if text.is_empty() {
            errors.push(Error::required(path, ""));
            continue;
        }
        let field = SelectableField::new(text);
        let found = match find(text, &field.fields, schema) {
            Ok(found) => found,
            Err(reason) => {
                let detail = format!("is an invalid path: {reason}");
                errors.push(Error::invalid(path, text, detail));
                continue;
            }
        };
        if field.fields.first().is_some_and(|root| root == "metadata") {
            let detail = "must not point to fields in metadata";
            errors.push(Error::invalid(path, text, detail));
        }
        if !matches!(
            found.kind,
            Some(Kind::String | Kind::Boolean | Kind::Integer)
        ) {
            let detail = "must point to a field of type string, boolean or integer. Enum string \
                          fields and strings with formats are allowed.";
            errors.push(Error::invalid(path, text, detail));
        }
        if fields.contains(&field) {
            errors.push(Error::duplicate(path, text));
        } else {
            fields.push(field);
        }
    }
    if fields.len() > MAX_FIELDS {
        errors.push(Error::too_many(path, fields.len(), MAX_FIELDS));
    }
    fields
}

fn find<'a>(
    text: &str,
    fields: &[String],
    schema: &'a Structural,
) -> Result<&'a Structural, String> {
    if !text.starts_with('.') {
        return Err(format!("expected [ or . but got: {text}"));
    }
    let mut at = schema;
    for field in fields {
        at = at
            .field(field)
            .ok_or_else(|| String::from("does not refer to a valid field"))?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::SelectableField;

    #[test]
    fn selectable_values_are_converted_to_text() {
        let object = json!({"spec": {"a": "x", "i": 5, "b": true, "n": null}});
        for (path, want) in [
            (".spec.a", "x"),
            (".spec.i", "5"),
            (".spec.b", "true"),
            (".spec.n", ""),
            (".spec.nope", ""),
            (".spec.a.b", ""),
        ] {
            assert_eq!(SelectableField::new(path).value(&object), want, "{path}");
        }
    }
}
