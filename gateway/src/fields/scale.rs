//! The managers of the scale subresource.
//!
//! kube-apiserver merges the Scales, and maps one field of their managers to the object and back.
//! Its accidents are kept, because clients see them: an update gives the replicas an entry without
//! a time, and an apply that would change the Scale fails.
//!
//! Sources: `k8s.io/apimachinery/pkg/util/managedfields/scalehandler.go`, and `ScaleREST` of
//! `apiextensions-apiserver/pkg/registry/customresource/etcd.go`.

use std::sync::Arc;

use api_types::status::ApiError;
use serde_json::Value;
use structured_merge::{FieldSet, Owned, Path};

use super::apply::{self, Config};
use super::cap;
use super::entries::{self, Identity, Operation};
use super::managed::Managed;
use super::steps;
use crate::admission::Attributes;
use crate::resources::{Served, Typed};

const API_VERSION: &str = "autoscaling/v1";
const KIND: &str = "Scale";
/// Why the reference converts no Scale that it has merged, or that is empty.
const NOT_CONVERTED: &str = "request to convert CR to an invalid group/version: autoscaling/v1";

/// The replicas that a write of the scale found and left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replicas {
    /// Those of the stored object, with a sentinel if it has none.
    pub before: i32,
    /// Those of the new object.
    pub after: i32,
}

/// Records the manager of an update of the scale in the new object.
///
/// # Errors
/// A plain 500 if the entries of the stored object are malformed.
pub(crate) fn update(
    attributes: &Attributes<'_>,
    old: &Value,
    new: &mut Value,
    replicas: Replicas,
) -> Result<(), ApiError> {
    let served = attributes.served;
    let Some(typed) = served.typed() else {
        entries::remove(new);
        return Ok(());
    };
    let parent = read(old, typed)?;
    let mut scale = to_scale(served, &parent);
    // Without managers of the replicas, the write is not tracked.
    if replicas.before != replicas.after && !scale.managers.is_empty() {
        // No manager keeps a field that another one changed.
        scale = Managed::default();
        // A Scale omits replicas that are 0.
        if replicas.after != 0 {
            let key = identity(attributes, Operation::Update).key();
            scale.managers.insert(key, owned(false));
        }
    }
    cap::cap(&mut scale);
    entries::write(&to_parent(served, parent, scale), new);
    Ok(())
}

/// Records the manager of an apply to the scale in the object. `live` is the Scale of the object.
///
/// # Errors
/// 400 if the configuration is not a Scale or names managers, 409 if it conflicts with other
/// managers, a plain 500 if it does not conform to the schema or would change the Scale.
pub(crate) fn apply(
    attributes: &Attributes<'_>,
    object: &mut Value,
    live: Value,
    config: &Config,
) -> Result<(), ApiError> {
    let served = attributes.served;
    let unmergeable = |_| ApiError::internal("the schema cannot be merged");
    let typed = Typed::scale().map_err(unmergeable)?;
    let parent = read(object, served.typed().unwrap_or(&typed))?;
    let managed = to_scale(served, &parent);
    apply::expect_kind(&config.object, API_VERSION, KIND)?;
    if managed.managers.is_empty() {
        return Err(ApiError::internal_plain(format!(
            "failed to create manager for existing fields: failed to convert live object (/; \
             {API_VERSION}, Kind={KIND}) to proper version: {NOT_CONVERTED}"
        )));
    }
    if entries::names_managers(&config.object) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let shown = apply::shown(&config.object);
    let applied = typed.applied(Arc::clone(&config.object)).map_err(|error| {
        ApiError::internal_plain(format!(
            "failed to create typed patch object ({shown}): {error}"
        ))
    })?;
    let live = typed.written(live).map_err(|error| {
        ApiError::internal_plain(format!(
            "failed to create typed live object ({shown}): {error}"
        ))
    })?;
    let key = identity(attributes, Operation::Apply).key();
    let updater = steps::updater(attributes);
    let managers = &managed.managers;
    let merged = updater.apply(&live, &applied, API_VERSION, managers, &key, config.force);
    let merged = merged.map_err(apply::rejected)?;
    if merged.changed {
        return Err(ApiError::internal_plain(format!(
            "failed to convert new object ({shown}) to proper version: {NOT_CONVERTED}"
        )));
    }
    let mut scale = Managed {
        managers: merged.managers,
        ..managed
    };
    steps::strip(&mut scale, &key);
    let managed = to_parent(served, parent, scale);
    entries::write(&managed, object);
    Ok(())
}

/// The managers of the replicas, as managers of the Scale.
fn to_scale(served: &Served, parent: &Managed) -> Managed {
    let mut scale = Managed::default();
    for (key, parent_owned) in &parent.managers {
        // bounded: a look-up in a set, along the path of the replicas.
        let owns = |path: Path| parent_owned.set.contains(&path);
        if !replicas_in(served, &parent_owned.version).is_some_and(owns) {
            continue;
        }
        let Some(mut identity) = Identity::of_key(key) else {
            continue;
        };
        if identity.operation == Operation::Update {
            API_VERSION.clone_into(&mut identity.api_version);
        }
        let scale_key = identity.key();
        if let Some(time) = parent.times.get(key) {
            scale.times.insert(scale_key.clone(), time.clone());
        }
        scale
            .managers
            .insert(scale_key, owned(parent_owned.applied));
    }
    scale
}

/// The managers of the object after those of its Scale changed.
fn to_parent(served: &Served, parent: Managed, mut scale: Managed) -> Managed {
    let Managed { managers, times } = parent;
    let mut merged = Managed {
        times,
        ..Managed::default()
    };
    for (key, mut owned) in managers {
        // Managers of versions that do not exist are forgotten.
        if served.version_in(&owned.version).is_none() {
            continue;
        }
        if let Some(path) = replicas_in(served, &owned.version)
            // bounded: as above.
            && owned.set.contains(&path)
            // The identity of an update has another version in the Scale, so this removes its
            // replicas, and the loop below gives them back in an entry without a time.
            && scale.managers.remove(&key).is_none()
        {
            owned.set = owned.set.difference(&[path].iter().collect());
            if owned.set.is_empty() {
                continue;
            }
        }
        merged.managers.insert(key, owned);
    }
    let version = served.api_version();
    let path = replicas_in(served, version);
    let set: FieldSet = path.iter().collect();
    let replicas = Path::fields(["spec", "replicas"]);
    for (key, owned) in scale.managers {
        // bounded: as above.
        if owned.set.contains(&replicas) {
            let owned = Owned {
                set: set.clone(),
                version: version.to_owned(),
                applied: owned.applied,
            };
            merged.managers.insert(key, owned);
        }
    }
    merged
}

/// The path of the replicas in the objects of a version; none if it has no scale.
fn replicas_in(served: &Served, api_version: &str) -> Option<Path> {
    let paths = served.version_in(api_version)?.scale.as_ref()?;
    let path = paths.spec_replicas.trim_start_matches('.');
    Some(Path::fields(path.split('.')))
}

fn owned(applied: bool) -> Owned {
    Owned {
        set: [Path::fields(["spec", "replicas"])].iter().collect(),
        version: API_VERSION.to_owned(),
        applied,
    }
}

fn identity(attributes: &Attributes<'_>, operation: Operation) -> Identity {
    let api_version = match operation {
        Operation::Apply => "",
        Operation::Update => API_VERSION,
    };
    Identity {
        manager: attributes.field_manager.to_owned(),
        operation,
        api_version: api_version.to_owned(),
        subresource: attributes.subresource.to_owned(),
    }
}

fn read(object: &Value, typed: &Typed) -> Result<Managed, ApiError> {
    entries::read(object, typed.schema())
        .map_err(|error| ApiError::internal_plain(error.to_string()))
}
