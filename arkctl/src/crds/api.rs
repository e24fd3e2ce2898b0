//! Creates objects through a kube-apiserver, which assigns new uids.

mod existing;

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, bail};
use api_types::meta::Meta;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value, json};

pub(super) use self::existing::{Existing, look};
use self::existing::{difference, sentence};
use super::cluster::{Cluster, message};
use super::outgoing::Object;
use crate::key;
use crate::output::Progress;

/// Concurrent requests.
const AT_ONCE: usize = 8;
/// Metadata fields that kube-apiserver sets itself.
const SERVERS_OWN: [&str; 8] = [
    "uid",
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Losses that apply to every object.
pub(super) const WARNING: &str = "\
through the API every object gets a new uid, creationTimestamp and generation and loses its
managedFields; ownerReferences are rewritten to the new uids, and anything else that remembers a uid
is wrong afterwards. With --etcd everything is kept.";

/// Result of one object.
struct CreatedObject {
    old: String,
    new: String,
    fate: Creation,
}

/// How an object was created.
enum Creation {
    Created,
    /// An earlier run created it.
    Completed,
    /// Another object has the name and was left unchanged; with a message.
    Other(String),
}

/// Returns a message for each loss of some objects.
pub(super) fn losses(objects: &[Object]) -> Vec<String> {
    let uids = uids(objects);
    let count = |test: &dyn Fn(&Object) -> bool| objects.iter().filter(|it| test(it)).count();
    let gone = count(&|it| is_gone(it));
    let ending = count(&|it| Meta::of(&it.parsed).is_deleting()) - gone;
    let strangers = count(&|it| owners(it).any(|uid| !uids.contains(uid)));
    let counts = [
        (
            gone,
            "are being deleted and have no finalizers: they are not created",
        ),
        (
            ending,
            "are being deleted: they are created, and deleted up to their finalizers",
        ),
        (
            strangers,
            "have owners outside the store: their references are left unchanged, and \
                     the cluster deletes the objects if it has no such owner",
        ),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    counts
        .map(|(count, what)| format!("{count} objects {what}"))
        .collect()
}

/// Creates all objects, owners before dependents.
///
/// # Errors
/// If the cluster rejects one, or at the end if other objects have some of the names.
pub(super) async fn create(cluster: &Cluster, objects: Vec<Object>) -> Result<()> {
    let known = uids(&objects);
    let mut pending: Vec<Object> = objects.into_iter().filter(|it| !is_gone(it)).collect();
    let mut made: HashMap<String, String> = HashMap::new();
    let mut progress = Progress::new("created", Some(pending.len() as u64));
    let mut looked = Existing::default();
    while !pending.is_empty() {
        let waits = |object: &Object| {
            owners(object).any(|uid| known.contains(uid) && !made.contains_key(uid))
        };
        let (mut later, mut now): (Vec<_>, Vec<_>) = pending.into_iter().partition(waits);
        if now.is_empty() {
            let first = later
                .first()
                .map(|it| key::text(&it.key))
                .unwrap_or_default();
            progress.step(format_args!(
                "{} objects own each other, or their owners are gone, such as {first}: these \
                 references are dropped",
                later.len()
            ));
            now = std::mem::take(&mut later);
        }
        pending = later;
        let done = wave(cluster, &now, &known, &made).await?;
        let (mut records, mut bytes) = (0, 0);
        for (object, CreatedObject { old, new, fate }) in now.iter().zip(done) {
            match fate {
                Creation::Created => {
                    records += 1;
                    bytes += object.value.len();
                }
                Creation::Completed => looked.same += 1,
                Creation::Other(what) => looked.others.push(what),
            }
            made.insert(old, new);
        }
        progress.add(records, bytes);
    }
    progress.finish();
    looked.report("left unchanged")
}

/// Creates objects that do not depend on each other.
async fn wave(
    cluster: &Cluster,
    objects: &[Object],
    known: &HashSet<String>,
    made: &HashMap<String, String>,
) -> Result<Vec<CreatedObject>> {
    let mut requests = Vec::with_capacity(objects.len());
    for object in objects {
        requests.push(one(cluster, object, known, made));
    }
    // Ordered, so that results match their objects.
    let responses = stream::iter(requests).buffered(AT_ONCE);
    responses.try_collect().await
}

/// Creates an object and completes it, unless another object has its name.
async fn one(
    cluster: &Cluster,
    object: &Object,
    known: &HashSet<String>,
    made: &HashMap<String, String>,
) -> Result<CreatedObject> {
    let named = || key::text(&object.key);
    let path = object.kind.path(version(object), &object.key.namespace);
    let own = format!("{path}/{}", object.key.name);
    let body = body(object, known, made);
    let (status, mut response) = cluster.send("POST", &path, Some(&body)).await?;
    let mut fate = Creation::Created;
    if status == 409 && response["reason"] == "AlreadyExists" {
        let (status, there) = cluster.send("GET", &own, None).await?;
        if status != 200 {
            bail!("{}, which is there: {}", named(), message(&there));
        }
        response = there;
        fate = match difference(object, &response) {
            None => Creation::Completed,
            Some(what) => Creation::Other(sentence(object, &what)),
        };
    } else if status != 201 {
        bail!("{}: {}", named(), message(&response));
    }
    let new = Meta::of(&response).uid().to_owned();
    if new.is_empty() {
        bail!("{}: the response has no uid", named());
    }
    if !matches!(fate, Creation::Other(_)) {
        let created = matches!(fate, Creation::Created);
        complete(cluster, object, &own, response, created)
            .await
            .with_context(named)?;
    }
    let old = Meta::of(&object.parsed).uid().to_owned();
    Ok(CreatedObject { old, new, fate })
}

/// Writes the status of an object that an `export-crds` run created, then deletes it if it was
/// being deleted.
async fn complete(
    cluster: &Cluster,
    object: &Object,
    path: &str,
    mut there: Value,
    created: bool,
) -> Result<()> {
    let meta = Meta::of(&there);
    let (uid, ending) = (meta.uid().to_owned(), meta.is_deleting());
    // A new object may have a default status, to be replaced. An object of an earlier run keeps its
    // status, which that run wrote.
    let expected = has_status(object) && (created || there.get("status").is_none());
    if let (true, Some(wanted)) = (expected, object.parsed.get("status")) {
        there["status"] = wanted.clone();
        let path = format!("{path}/status");
        let (status, response) = cluster.send("PUT", &path, Some(&there)).await?;
        if status != 200 {
            bail!("its status: {}", message(&response));
        }
    }
    if Meta::of(&object.parsed).is_deleting() && !ending {
        // The uid precondition prevents deleting another object that has the name by now.
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": uid}});
        let (status, response) = cluster.send("DELETE", path, Some(&options)).await?;
        if !matches!(status, 200 | 202) {
            bail!("its deletion: {}", message(&response));
        }
    }
    Ok(())
}

/// Returns the object as it is to be created.
fn body(object: &Object, known: &HashSet<String>, made: &HashMap<String, String>) -> Value {
    let mut body = object.parsed.clone();
    body["apiVersion"] = format!("{}/{}", object.kind.group, version(object)).into();
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in SERVERS_OWN {
            metadata.remove(field);
        }
        rewrite_owners(metadata, known, made);
    }
    body
}

/// Replaces the uids of owner references; references to objects not created yet are removed.
fn rewrite_owners(
    metadata: &mut Map<String, Value>,
    known: &HashSet<String>,
    made: &HashMap<String, String>,
) {
    let Some(Value::Array(references)) = metadata.get_mut("ownerReferences") else {
        return;
    };
    references.retain_mut(|reference| {
        let uid = reference["uid"].as_str().unwrap_or_default();
        match made.get(uid) {
            Some(new) => reference["uid"] = new.as_str().into(),
            None if known.contains(uid) => return false,
            None => {}
        }
        true
    });
    if references.is_empty() {
        metadata.remove("ownerReferences");
    }
}

fn uids(objects: &[Object]) -> HashSet<String> {
    let uids = objects
        .iter()
        .map(|it| Meta::of(&it.parsed).uid().to_owned());
    uids.collect()
}

fn owners(object: &Object) -> impl Iterator<Item = &str> {
    let references = Meta::of(&object.parsed).owner_references();
    references.map(|reference| reference.uid)
}

/// Whether the object is being deleted and has no finalizers left.
fn is_gone(object: &Object) -> bool {
    let meta = Meta::of(&object.parsed);
    meta.is_deleting() && meta.finalizers().next().is_none()
}

/// Returns the version to use: the object's own if it is served.
fn version(object: &Object) -> &str {
    let mut versions = object.kind.versions.iter();
    let served = versions.any(|(name, served, _)| *name == object.version && *served);
    if served {
        &object.version
    } else {
        &object.kind.storage
    }
}

fn has_status(object: &Object) -> bool {
    let own = version(object);
    let mut versions = object.kind.versions.iter();
    versions.any(|(name, _, status)| name == own && *status)
}
