//! Prepares an object for validation and storage.

use api_types::meta::Meta;
use api_types::status::ApiError;
use api_types::time;
use jiff::Timestamp;
use serde_json::Value;

use super::edit;

/// The part of an object that a write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the fields of the server and of the status subresource.
    Main,
    /// The status only.
    Status,
}

/// Metadata that a client cannot set at creation.
const SYSTEM_FIELDS: [&str; 5] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// Sets the namespace of the request; it is empty for cluster-scoped objects.
///
/// # Errors
/// 400 if the object names another namespace.
pub(crate) fn in_namespace(object: &mut Value, namespace: &str) -> Result<(), ApiError> {
    let own = Meta::of(object).namespace();
    if own == namespace {
        return Ok(());
    }
    if own.is_empty() || namespace.is_empty() {
        edit::set_text(object, "namespace", namespace);
        return Ok(());
    }
    Err(ApiError::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

/// Removes fields that a client cannot set on a new object, and sets those of the server.
pub(crate) fn create(object: &mut Value, has_status: bool, uid: &str, now: Timestamp) {
    wipe(object);
    let metadata = edit::metadata(object);
    metadata.insert("uid".to_owned(), uid.into());
    metadata.insert("creationTimestamp".to_owned(), time::format(now).into());
    metadata.insert("generation".to_owned(), 1.into());
    if has_status && let Value::Object(map) = object {
        map.remove("status");
    }
}

/// Removes metadata that a client cannot set on a new object.
pub(crate) fn wipe(object: &mut Value) {
    let metadata = edit::metadata(object);
    for field in SYSTEM_FIELDS {
        metadata.remove(field);
    }
}

/// Restores fields that an update silently cannot change, and increments the generation.
pub(crate) fn update(object: &mut Value, old: &Value, part: Part, has_status: bool) {
    match part {
        Part::Main => main(object, old, has_status),
        Part::Status => status(object, old),
    }
    fill(object, old);
}

/// The new object with the old status, if status is a subresource.
fn main(object: &mut Value, old: &Value, has_status: bool) {
    let generation = Meta::of(old).generation();
    edit::set(object, "generation", number(generation));
    if has_status && let Value::Object(map) = object {
        match old.get("status") {
            Some(status) => map.insert("status".to_owned(), status.clone()),
            None => map.remove("status"),
        };
    }
    if !same_content(object, old) {
        edit::set(object, "generation", number(generation + 1));
    }
}

/// The old object with the new status and its managers.
fn status(object: &mut Value, old: &Value) {
    let status = object.as_object_mut().and_then(|map| map.remove("status"));
    let managers = Meta::of(object).get("managedFields").cloned();
    *object = old.clone();
    edit::set(object, "managedFields", managers);
    if let Value::Object(map) = object {
        match status {
            Some(status) => map.insert("status".to_owned(), status),
            None => map.remove("status"),
        };
    }
}

/// Copies fields from the stored object where the new one must not differ or omits them.
fn fill(object: &mut Value, old: &Value) {
    let before = Meta::of(old);
    if Meta::of(object).uid().is_empty() {
        edit::set_text(object, "uid", before.uid());
    }
    for field in ["creationTimestamp", "deletionTimestamp"] {
        // A requested deletion stays requested; a new deletion timestamp is rejected by validation.
        if let Some(time) = before.get(field) {
            edit::set(object, field, Some(time.clone()));
        }
    }
    let grace = "deletionGracePeriodSeconds";
    if Meta::of(object).get(grace).is_none() {
        edit::set(object, grace, before.get(grace).cloned());
    }
}

/// Marks an object with finalizers as being deleted.
pub(crate) fn mark_deleting(object: &mut Value, now: Timestamp) {
    let meta = Meta::of(object);
    let generation = meta.generation();
    let due = meta.deletion_timestamp();
    if due.is_none() && generation > 0 {
        edit::set(object, "generation", number(generation + 1));
    }
    if due.is_none_or(|due| due > now) {
        let now = time::format(now);
        edit::set(object, "deletionTimestamp", Some(now.into()));
    }
    edit::set(object, "deletionGracePeriodSeconds", Some(0.into()));
}

/// Whether two objects differ in metadata only.
fn same_content(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return a == b;
    };
    let content = |key: &&String| *key != "metadata";
    a.keys().filter(content).eq(b.keys().filter(content))
        && a.keys().filter(content).all(|key| a.get(key) == b.get(key))
}

fn number(number: i64) -> Option<Value> {
    (number != 0).then(|| number.into())
}
