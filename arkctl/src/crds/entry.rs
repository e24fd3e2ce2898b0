//! An object of the cluster as the record that the gateway would store.

use anyhow::{Result, bail};
use api_types::meta::Meta;
use backend_proto::v1::{Index, Key, Record};
use crd_schema::SelectableField;
use crd_schema::stored;
use jiff::Timestamp;
use prost_types::Timestamp as Time;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::cluster::Kind;
use crate::key;

/// An object to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The cluster's resourceVersion, which determines the order of new revisions.
    pub(crate) order: i64,
    pub(crate) record: Record,
    /// See [`hash`].
    pub(crate) hash: [u8; 32],
}

impl Entry {
    /// Converts an object of a list.
    ///
    /// # Errors
    /// If its resourceVersion is not a number.
    pub(crate) fn of(kind: &Kind, mut object: Value) -> Result<Self> {
        let meta = Meta::of(&object);
        let key = Key {
            group: kind.group.clone(),
            resource: kind.plural.clone(),
            namespace: meta.namespace().to_owned(),
            name: meta.name().to_owned(),
        };
        let Ok(order) = meta.resource_version().parse() else {
            bail!("{}: its resourceVersion is not a number", key::text(&key));
        };
        let created = meta.creation_timestamp();
        let updated = updated(&object).max(created);
        let index = index(&object, &kind.selectable);
        stored::strip(&mut object);
        let record = Record {
            key: Some(key),
            value: kube_json::to_vec(&object).into(),
            index: Some(index),
            created_at: created.map(wire),
            updated_at: updated.map(wire),
            ..Record::default()
        };
        Ok(Self {
            order,
            record,
            hash: hash(object),
        })
    }

    pub(crate) fn key(&self) -> Key {
        self.record.key.clone().unwrap_or_default()
    }

    /// The uid of the object.
    pub(crate) fn uid(&self) -> &str {
        self.record.index.as_ref().map_or("", |index| &index.uid)
    }
}

fn index(object: &Value, selectable: &[SelectableField]) -> Index {
    let derived = stored::Index::of(object, selectable);
    Index {
        uid: derived.uid,
        labels: derived.labels.into_iter().collect(),
        fields: derived.fields.into_iter().collect(),
        owner_uids: derived.owner_uids,
    }
}

/// Returns the time of the last change according to managedFields.
fn updated(object: &Value) -> Option<Timestamp> {
    let managed = object["metadata"]["managedFields"].as_array()?;
    let times = managed.iter().filter_map(|entry| entry["time"].as_str());
    times.filter_map(api_types::time::parse).max()
}

fn wire(time: Timestamp) -> Time {
    Time {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// Returns the SHA-256 of an object without resourceVersion and apiVersion, and without empty lists and
/// maps of its metadata: kube-apiserver may store them, and does not return them.
pub(crate) fn hash(mut object: Value) -> [u8; 32] {
    stored::strip(&mut object);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| match value {
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            _ => true,
        });
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &kube_json::to_vec(&object)).as_ref());
    hash
}
