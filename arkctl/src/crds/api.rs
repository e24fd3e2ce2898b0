//! Objects created through a kube-apiserver, which gives them new uids.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, bail};
use api_types::meta::Meta;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};

use super::cluster::{Cluster, message};
use super::outgoing::Object;
use crate::key;
use crate::tell::{self, Progress};

/// Requests under way at once.
const AT_ONCE: usize = 8;
/// What kube-apiserver sets itself.
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

/// What becomes of every object.
pub(super) const WARNING: &str = "\
through the API every object gets a new uid, creationTimestamp and generation and loses its
managedFields; ownerReferences are rewritten to the new uids, and anything else that remembers a uid
is wrong afterwards. With --etcd everything is kept.";

/// What became of an object.
struct Made {
    old: String,
    new: String,
    existed: bool,
}

/// What is lost of some objects, a sentence each.
pub(super) fn losses(objects: &[Object]) -> Vec<String> {
    let uids = uids(objects);
    let count = |test: &dyn Fn(&Object) -> bool| objects.iter().filter(|it| test(it)).count();
    let gone = count(&|it| is_gone(it));
    let ending = count(&|it| Meta::of(&it.parsed).is_deleting()) - gone;
    let strangers = count(&|it| owners(it).any(|uid| !uids.contains(uid)));
    let told = [
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
            "have owners outside the store: their references are left as they are, and \
                     the cluster deletes the objects if it has no such owner",
        ),
    ];
    let told = told.into_iter().filter(|(count, _)| *count > 0);
    told.map(|(count, what)| format!("{count} objects {what}"))
        .collect()
}

/// Creates all objects, owners before what they own.
pub(super) async fn create(cluster: &Cluster, objects: Vec<Object>) -> Result<()> {
    let known = uids(&objects);
    let mut pending: Vec<Object> = objects.into_iter().filter(|it| !is_gone(it)).collect();
    let mut made: HashMap<String, String> = HashMap::new();
    let (mut progress, mut existed) = (Progress::new("created"), 0);
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
        let bytes = now.iter().map(|object| object.value.len()).sum();
        progress.add(now.len(), bytes);
        for Made {
            old,
            new,
            existed: there,
        } in done
        {
            existed += usize::from(there);
            made.insert(old, new);
        }
    }
    progress.finish();
    if existed > 0 {
        tell::line(format_args!(
            "{existed} objects of these names were there, and left as they are"
        ));
    }
    Ok(())
}

/// Creates objects that do not wait for each other.
async fn wave(
    cluster: &Cluster,
    objects: &[Object],
    known: &HashSet<String>,
    made: &HashMap<String, String>,
) -> Result<Vec<Made>> {
    let mut requests = Vec::with_capacity(objects.len());
    for object in objects {
        requests.push(one(cluster, object, known, made));
    }
    let answers = stream::iter(requests).buffer_unordered(AT_ONCE);
    answers.try_collect().await
}

/// Creates an object, then its status, then asks for its deletion if that was so.
async fn one(
    cluster: &Cluster,
    object: &Object,
    known: &HashSet<String>,
    made: &HashMap<String, String>,
) -> Result<Made> {
    let named = || key::text(&object.key);
    let path = object.kind.path(version(object), &object.key.namespace);
    let own = format!("{path}/{}", object.key.name);
    let body = body(object, known, made);
    let (status, mut answer) = cluster.send("POST", &path, Some(&body)).await?;
    let existed = status == 409 && answer["reason"] == "AlreadyExists";
    if existed {
        answer = cluster.send("GET", &own, None).await?.1;
    } else if status != 201 {
        bail!("{}: {}", named(), message(&answer));
    }
    let new = Meta::of(&answer).uid().to_owned();
    // One that was there gets its status if an earlier run ended in between.
    let due = has_status(object) && answer.get("status").is_none();
    if let (true, Some(wanted)) = (due, object.parsed.get("status")) {
        answer["status"] = wanted.clone();
        let (status, answer) = cluster
            .send("PUT", &format!("{own}/status"), Some(&answer))
            .await?;
        if status != 200 {
            bail!("{}, its status: {}", named(), message(&answer));
        }
    }
    if Meta::of(&object.parsed).is_deleting() {
        let (status, answer) = cluster.send("DELETE", &own, None).await?;
        if !matches!(status, 200 | 202) {
            bail!("{}, its deletion: {}", named(), message(&answer));
        }
    }
    let old = Meta::of(&object.parsed).uid().to_owned();
    Some(new)
        .filter(|new| !new.is_empty())
        .map(|new| Made { old, new, existed })
        .with_context(|| format!("{}: no uid was given", named()))
}

/// The object as it is to be created.
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

/// References to objects of the store get their new uids; those to objects not made yet go.
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

/// Being deleted with nothing left to wait for.
fn is_gone(object: &Object) -> bool {
    let meta = Meta::of(&object.parsed);
    meta.is_deleting() && meta.finalizers().next().is_none()
}

/// The version to use: the object's own if it is served.
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
