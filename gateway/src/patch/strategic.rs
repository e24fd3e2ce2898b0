//! Strategic merge patches that are merge patches as well: without directives, and without lists
//! that are merged item by item.
//!
//! Source: `k8s.io/apimachinery/pkg/util/strategicpatch`. client-go's recorders of events send such
//! patches. Other ones are rejected, because the result would differ.

use api_types::status::ApiError;
use serde_json::Value;

/// Fields of a list that is merged item by item, with their parents: `patchStrategy:"merge"` of the
/// types in `k8s.io/api`.
const MERGED: [(&str, &str); 3] = [
    ("metadata", "finalizers"),
    ("metadata", "ownerReferences"),
    ("status", "conditions"),
];

/// Checks a parsed patch.
///
/// # Errors
/// 400 that names the field.
pub(super) fn check(patch: &Value) -> Result<(), ApiError> {
    for (parent, list) in MERGED {
        if patch.get(parent).is_some_and(|it| it.get(list).is_some()) {
            return Err(rejection(&format!("{parent}.{list}")));
        }
    }
    directive(patch).map_or(Ok(()), |name| Err(rejection(name)))
}

fn rejection(field: &str) -> ApiError {
    ApiError::bad_request(format!(
        "this server does not support {field} in a strategic merge patch: send a merge patch, a \
         JSON patch or an apply"
    ))
}

/// The first directive, such as `$patch`.
fn directive(patch: &Value) -> Option<&str> {
    // The depth of parsed values is limited.
    let mut open = vec![patch];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(name) = fields.keys().find(|name| name.starts_with('$')) {
                    return Some(name);
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    #[test]
    fn patches_with_another_meaning_are_rejected() {
        for patch in [
            json!({"count": 2, "series": {"count": 3}, "metadata": {"labels": {"a": null}}}),
            json!({"spec": {"finalizers": ["kubernetes"]}}),
        ] {
            assert!(check(&patch).is_ok(), "{patch}");
        }
        for (patch, name) in [
            (
                json!({"metadata": {"finalizers": ["a/b"]}}),
                "metadata.finalizers",
            ),
            (json!({"a": {"$patch": "delete"}}), "$patch"),
            (json!({"a": [{"$retainKeys": []}]}), "$retainKeys"),
        ] {
            let error = check(&patch).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
