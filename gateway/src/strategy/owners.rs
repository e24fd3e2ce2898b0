//! Owner references.

use std::collections::HashSet;

use api_types::meta::Meta;
use serde_json::Value;

use super::edit;

/// Removes duplicate references; returns the uids of the removed ones.
pub(crate) fn deduplicate(object: &mut Value) -> Vec<String> {
    let Some(Value::Array(references)) = Meta::of(object).get("ownerReferences") else {
        return Vec::new();
    };
    // Keys are sorted, and values are texts and flags only, so equal references have equal bytes.
    let mut seen = HashSet::with_capacity(references.len());
    let repeated: Vec<bool> = references
        .iter()
        .map(|reference| !seen.insert(kube_json::to_vec(reference)))
        .collect();
    drop(seen);
    let uid = |reference: &Value| {
        let uid = reference.get("uid").and_then(Value::as_str);
        uid.unwrap_or_default().to_owned()
    };
    let marked = || references.iter().zip(&repeated);
    let removed: Vec<String> = marked()
        .filter(|(_, repeated)| **repeated)
        .map(|(reference, _)| uid(reference))
        .collect();
    if !removed.is_empty() {
        let kept: Vec<Value> = marked()
            .filter(|(_, repeated)| !**repeated)
            .map(|(reference, _)| reference.clone())
            .collect();
        edit::set(object, "ownerReferences", Some(kept.into()));
    }
    removed
}
