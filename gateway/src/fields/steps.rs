//! The managers after a write that is not an apply.

use std::sync::Arc;

use api_types::meta::Meta;
use kube_json::Weight;
use serde_json::{Value, json};
use structured_merge::{FieldSet, Filter, Owned, Path, UpdateError, Updater};

use super::cap;
use super::entries::{self, Identity, Operation};
use super::managed::Managed;
use super::version::{VersionError, Versions};
use crate::admission::Attributes;
use crate::resources::Typed;

/// Temporary manager of the write. Its fields are added to those of the real one, whose earlier
/// fields are treated like those of any other manager.
const CURRENT: &str = "current-operation";

/// Memory of the largest object whose changes are tracked, bytes: comparing takes several times as
/// much, and the memory of a request is bounded. kube-apiserver has no such limit.
const MAX_TRACKED: usize = 8 << 20;

/// Fields without an owner.
const UNOWNED: [&str; 8] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
];

/// Records the manager of an update. If that fails, the write succeeds with the stored managers, as
/// in kube-apiserver.
pub(super) fn update(attributes: &Attributes<'_>, old: Option<&Arc<Value>>, new: &mut Value) {
    let Some(typed) = attributes.served.typed() else {
        return entries::remove(new);
    };
    if Weight::of(new).memory > MAX_TRACKED {
        // The managers that the client sent stay as they are, or else the stored ones.
        if !entries::is_present(new) {
            keep_stored(old, new);
        }
        return;
    }
    let managed = known(attributes, old, new, typed);
    entries::remove(new);
    // Objects without managers stay without, except new ones.
    if managed.managers.is_empty() && old.is_some() {
        return;
    }
    let api_version = attributes.served.api_version();
    let empty = json!({"apiVersion": api_version, "kind": attributes.served.kind()});
    let live = old.cloned().unwrap_or_else(|| Arc::new(empty));
    let writer = Identity {
        manager: attributes.field_manager.to_owned(),
        operation: Operation::Update,
        api_version: api_version.to_owned(),
        subresource: attributes.subresource.to_owned(),
    };
    let live = Source {
        object: live,
        typed,
    };
    let written = written(attributes, live, new, managed, &writer);
    let written = written.unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot compute the managers of an object");
        None
    });
    match written {
        Some(managed) => entries::write(&managed, new),
        None => keep_stored(old, new),
    }
}

/// Gives an object the stored managers.
fn keep_stored(old: Option<&Arc<Value>>, new: &mut Value) {
    let stored = old.and_then(|old| Meta::of(old).get("managedFields").cloned());
    if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.extend(stored.map(|stored| ("managedFields".to_owned(), stored)));
    }
}

/// A value, and how it is merged.
pub(super) struct Source<'a> {
    pub(super) object: Arc<Value>,
    pub(super) typed: &'a Typed,
}

/// The managers before the write: those that the client sent with the object, or the stored ones.
fn known(
    attributes: &Attributes<'_>,
    old: Option<&Arc<Value>>,
    new: &Value,
    typed: &Typed,
) -> Managed {
    let stored = || {
        let read = old.map(|old| entries::read(old, typed.schema()));
        read.and_then(Result::ok).unwrap_or_default()
    };
    // A subresource cannot set managers.
    if !attributes.subresource.is_empty() {
        return stored();
    }
    if entries::is_reset(new) {
        return Managed::default();
    }
    match entries::read(new, typed.schema()) {
        Ok(managed) if !managed.managers.is_empty() => managed,
        // Clients that do not know managers must not remove them.
        Ok(_) | Err(_) => stored(),
    }
}

/// The managers after `writer` wrote `new` over `live`; `None` if one of them does not conform to
/// the schema, as after a change of it.
pub(super) fn written(
    attributes: &Attributes<'_>,
    live: Source<'_>,
    new: &mut Value,
    mut managed: Managed,
    writer: &Identity,
) -> Result<Option<Managed>, UpdateError<VersionError>> {
    let typed = live.typed;
    let Ok(live) = typed.written(live.object) else {
        return Ok(None);
    };
    let shared = Arc::new(std::mem::take(new));
    let updated = typed.written(Arc::clone(&shared)).map(|new| {
        let version = attributes.served.api_version();
        updater(attributes).update(&live, &new, version, &managed.managers, CURRENT)
    });
    *new = Arc::unwrap_or_clone(shared);
    let Ok(updated) = updated else {
        return Ok(None);
    };
    managed.managers = updated?;
    strip(&mut managed, CURRENT);
    if let Some(current) = managed.managers.remove(CURRENT) {
        add(&mut managed, writer.key(), current);
    }
    cap::cap(&mut managed);
    Ok(Some(managed))
}

/// Adds what a write changed to the fields of its manager.
fn add(managed: &mut Managed, key: String, written: Owned) {
    let set = match managed.managers.get(&key) {
        Some(before) => written.set.union(&before.set),
        None => written.set.clone(),
    };
    managed.touch(&key);
    managed.managers.insert(key, Owned { set, ..written });
}

/// An updater that ignores what the strategy resets: `status` on the object, `metadata` and `spec`
/// on its status. As in kube-apiserver, the latter in the sets of all versions, the former only in
/// those of the request's version.
pub(super) fn updater<'a>(attributes: &Attributes<'a>) -> Updater<Versions<'a>> {
    let served = attributes.served;
    let mut updater = Updater::new(Versions(served));
    let reset: &[&str] = match attributes.subresource {
        "" => &["status"],
        "status" => &["metadata", "spec"],
        _ => return updater,
    };
    let paths: Vec<Path> = reset.iter().map(|name| Path::fields([*name])).collect();
    let everywhere = attributes.subresource == "status";
    let versions = served.versions().filter(|(_, version)| version.status);
    for (version, _) in versions.filter(|(it, _)| everywhere || *it == served.api_version()) {
        let filter = Filter::Exclude(paths.iter().collect());
        updater.filters.insert(version.to_owned(), filter);
    }
    updater
}

/// Removes the fields without an owner from the set of a manager.
pub(super) fn strip(managed: &mut Managed, key: &str) {
    let Some(owned) = managed.managers.get_mut(key) else {
        return;
    };
    owned.set = owned.set.difference(&unowned());
    if owned.set.is_empty() {
        managed.managers.remove(key);
    }
}

fn unowned() -> FieldSet {
    let top = ["apiVersion", "kind", "metadata"];
    let top = top.into_iter().map(|name| Path::fields([name]));
    let below = UNOWNED.into_iter().chain(["resourceVersion"]);
    let below = below.map(|name| Path::fields(["metadata", name]));
    let paths: Vec<Path> = top.chain(below).collect();
    paths.iter().collect()
}
