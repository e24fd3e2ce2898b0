//! Validation of updates of metadata, with kube-apiserver's text.

use api_types::field::{Error, Errors, Path, Value as Shown};
use api_types::meta::Meta;
use crd_schema::object_meta::{common, managed_fields, not_negative};
use serde_json::Value;

use super::finalizers;

/// Appends the errors of a metadata update.
pub(crate) fn validate_update(meta: Meta<'_>, old: Meta<'_>, errors: &mut Errors) {
    let path = Path::new("metadata");
    if old.is_deleting() {
        errors.extend(finalizers::none_added(meta, old, path.child("finalizers")));
    }
    if meta.resource_version().is_empty() {
        let detail = "must be specified for an update";
        errors.add(|| Error::invalid(path.child("resourceVersion"), "", detail));
    }
    errors.extend(not_negative(meta, path.child("generation")));
    if meta.generation() < old.generation() {
        let detail = "must not be decremented";
        errors.add(|| Error::invalid(path.child("generation"), meta.generation(), detail));
    }
    for field in IMMUTABLE {
        let (new, old) = (meta.get(field), old.get(field));
        if new.filter(|it| !is_empty(it)) != old.filter(|it| !is_empty(it)) {
            let detail = "field is immutable";
            errors.add(|| Error::invalid(path.child(field), shown(field, new), detail));
        }
    }
    common(meta, &path, errors);
    managed_fields(meta, &path.child("managedFields"), errors);
}

/// Fields that an update cannot change.
const IMMUTABLE: [&str; 6] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// The value of a field in Go's format.
fn shown(field: &str, value: Option<&Value>) -> Shown {
    match value {
        None if field == "deletionGracePeriodSeconds" || field == "deletionTimestamp" => {
            Shown::from("null")
        }
        None => Shown::from(""),
        Some(other) => Shown::from(other),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}
