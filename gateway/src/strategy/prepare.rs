//! Bringing an object into the shape in which it is judged and stored.

use api_types::meta::Meta;
use api_types::status::ApiError;
use api_types::time;
use jiff::Timestamp;
use serde_json::Value;

use super::edit;

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but what the server and the status subresource own.
    Main,
    /// The status alone.
    Status,
}

/// Metadata of the client that counts for nothing when an object is created.
const SYSTEM_FIELDS: [&str; 5] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// Makes the object one of the request's namespace; that of cluster-scoped objects is empty.
///
/// # Errors
/// 400 if it names another one.
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

/// Takes away what a client cannot give to a new object, and gives what only the server can.
pub(crate) fn create(object: &mut Value, has_status: bool, uid: &str, now: Timestamp) {
    let metadata = edit::metadata(object);
    for field in SYSTEM_FIELDS {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), uid.into());
    metadata.insert("creationTimestamp".to_owned(), time::format(now).into());
    metadata.insert("generation".to_owned(), 1.into());
    if has_status && let Value::Object(map) = object {
        map.remove("status");
    }
}

/// Puts back what an update cannot change without a word, and counts the generation.
pub(crate) fn update(object: &mut Value, old: &Value, part: Part, has_status: bool) {
    match part {
        Part::Main => main(object, old, has_status),
        Part::Status => status(object, old),
    }
    fill(object, old);
}

/// The new object with the status of the old one, if that has an endpoint of its own.
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

/// The old object with the status of the new one.
fn status(object: &mut Value, old: &Value) {
    let status = object.as_object_mut().and_then(|map| map.remove("status"));
    *object = old.clone();
    if let Value::Object(map) = object {
        match status {
            Some(status) => map.insert("status".to_owned(), status),
            None => map.remove("status"),
        };
    }
}

/// What the stored object says where the new one must not differ or says nothing.
fn fill(object: &mut Value, old: &Value) {
    let before = Meta::of(old);
    if Meta::of(object).uid().is_empty() {
        edit::set_text(object, "uid", before.uid());
    }
    for field in ["creationTimestamp", "deletionTimestamp"] {
        // A deletion that was asked for stays asked for; one that was not is judged later.
        if let Some(time) = before.get(field) {
            edit::set(object, field, Some(time.clone()));
        }
    }
    let grace = "deletionGracePeriodSeconds";
    if Meta::of(object).get(grace).is_none() {
        edit::set(object, grace, before.get(grace).cloned());
    }
}

/// Marks an object that finalizers hold as being deleted.
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

/// Whether two objects differ in metadata at most.
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
