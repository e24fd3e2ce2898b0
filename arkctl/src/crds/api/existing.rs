//! Existing objects with the names of those to be created.
//!
//! Only objects that an earlier run created may be changed. They are recognized by their content;
//! any other object with the name belongs to someone else.

use anyhow::{Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};

use super::{AT_ONCE, has_status, is_gone, version};
use crate::crds::cluster::{Cluster, message};
use crate::crds::outgoing::{NAMED, Object};
use crate::key;
use crate::output;

/// Result of looking for existing objects.
#[derive(Debug, Default)]
pub(crate) struct Existing {
    /// Number of objects that are as they would be created.
    pub(crate) same: usize,
    /// A message for each of the others.
    pub(crate) others: Vec<String>,
}

impl Existing {
    /// Reports the result, and the consequence for the others.
    ///
    /// # Errors
    /// If there are others.
    pub(crate) fn report(&self, others: &str) -> Result<()> {
        let Self { same, .. } = self;
        if *same > 0 {
            output::line(format_args!("{same} objects exist already"));
        }
        for what in self.others.iter().take(NAMED) {
            output::line(what);
        }
        let count = self.others.len();
        if count > 0 {
            bail!(
                "{count} objects of these names are there and differ from the store's: {others}; \
                 if they are left from before an import, delete them and give the same command \
                 again"
            );
        }
        Ok(())
    }
}

/// Returns the first difference between an object to be created and an existing one. `None` if an
/// earlier run created the existing one, perhaps without its status and its deletion.
pub(super) fn difference(object: &Object, there: &Value) -> Option<String> {
    let wanted = &object.parsed;
    for field in ["labels", "annotations", "finalizers"] {
        let of = |it: &Value| content(it["metadata"].get(field)).cloned();
        if of(wanted) != of(there) {
            return Some(format!("metadata.{field}"));
        }
    }
    // The status is written after the object, and the cluster may have set a default one.
    let apart = has_status(object);
    let written = |it: &Value| -> Map<String, Value> {
        let mut fields = it.as_object().cloned().unwrap_or_default();
        fields.retain(|name, _| match name.as_str() {
            "apiVersion" | "kind" | "metadata" => false,
            "status" => !apart,
            _ => true,
        });
        fields
    };
    let (wants, has) = (written(wanted), written(there));
    let differs = |name: &&String| wants.get(*name) != has.get(*name);
    if let Some(name) = wants.keys().chain(has.keys()).find(differs) {
        return Some(name.clone());
    }
    if let (true, Some(wanted), Some(there)) = (apart, wanted.get("status"), there.get("status"))
        && wanted != there
    {
        return Some("status".to_owned());
    }
    let ending = |it: &Value| it["metadata"]["deletionTimestamp"].is_string();
    (ending(there) && !ending(wanted)).then(|| "it is being deleted".to_owned())
}

/// Looks up all objects; changes nothing.
pub(crate) async fn look(cluster: &Cluster, objects: &[Object]) -> Result<Existing> {
    let expected = objects.iter().filter(|object| !is_gone(object));
    let mut requests = Vec::new();
    for object in expected {
        requests.push(one(cluster, object));
    }
    let found = stream::iter(requests).buffered(AT_ONCE);
    let found: Vec<Found> = found.try_collect().await?;
    let mut looked = Existing::default();
    for found in found {
        match found {
            Found::Nothing => {}
            Found::Same => looked.same += 1,
            Found::Other(what) => looked.others.push(what),
        }
    }
    Ok(looked)
}

enum Found {
    Nothing,
    Same,
    Other(String),
}

async fn one(cluster: &Cluster, object: &Object) -> Result<Found> {
    let path = object.kind.path(version(object), &object.key.namespace);
    let path = format!("{path}/{}", object.key.name);
    let (status, response) = cluster.send("GET", &path, None).await?;
    match status {
        404 => Ok(Found::Nothing),
        200 => Ok(match difference(object, &response) {
            None => Found::Same,
            Some(what) => Found::Other(sentence(object, &what)),
        }),
        _ => bail!("{}: {}", key::text(&object.key), message(&response)),
    }
}

/// Returns the message that another object has the name.
pub(super) fn sentence(object: &Object, what: &str) -> String {
    format!("{} exists and differs ({what})", key::text(&object.key))
}

/// Returns a field unless it is empty.
fn content(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::difference;
    use crate::crds::outgoing::Object;
    use crate::crds::testing::kind;

    fn object(parsed: &Value) -> Object {
        Object {
            kind: Arc::new(kind()),
            key: backend_proto::v1::Key::default(),
            version: "v1".to_owned(),
            value: bytes::Bytes::new(),
            parsed: parsed.clone(),
        }
    }

    /// A change of the existing object, and the difference it must be reported as.
    type Change = (fn(&mut Value), Option<&'static str>);

    #[test]
    fn existing_object_matches_only_if_created_by_earlier_run() {
        let wanted = json!({
            "apiVersion": "g/v1", "kind": "R",
            "metadata": {"name": "a", "labels": {"l": "1"}, "annotations": {},
                "finalizers": ["f"], "uid": "old", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"a": 1}, "status": {"phase": "ready"},
        });
        let changes: [Change; 11] = [
            (|_| (), None),
            (|it| it["metadata"]["uid"] = "new".into(), None),
            (|it| it["metadata"]["ownerReferences"] = json!([{}]), None),
            (|it| it["metadata"]["annotations"] = Value::Null, None),
            // As created, but without status and deletion.
            (
                |it| {
                    it.as_object_mut().expect("an object").remove("status");
                    it["metadata"]["deletionTimestamp"] = Value::Null;
                },
                None,
            ),
            (|it| it["spec"]["a"] = 2.into(), Some("spec")),
            (|it| it["data"] = json!({}), Some("data")),
            (|it| it["status"] = json!({}), Some("status")),
            (
                |it| it["metadata"]["labels"] = json!({}),
                Some("metadata.labels"),
            ),
            (
                |it| it["metadata"]["annotations"]["a"] = "".into(),
                Some("metadata.annotations"),
            ),
            (
                |it| it["metadata"]["finalizers"] = json!([]),
                Some("metadata.finalizers"),
            ),
        ];
        for (at, (change, expected)) in changes.into_iter().enumerate() {
            let mut there = wanted.clone();
            change(&mut there);
            let found = difference(&object(&wanted), &there);
            assert_eq!(found.as_deref(), expected, "change {at}");
        }
        let mut living = wanted.clone();
        living["metadata"]["deletionTimestamp"] = Value::Null;
        let found = difference(&object(&living), &wanted);
        assert_eq!(found.as_deref(), Some("it is being deleted"));
    }
}
