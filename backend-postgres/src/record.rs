//! Rows ⇄ records, and the form of keys.

use backend_proto::v1::{Index, Key, Record};
use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

/// `log.change` of a delete. Its numbers are those of `Event.Type` and `Op.Action` of the protocol.
pub(crate) const DELETED: i16 = 3;

/// One stored value as its row has it.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) revision: i64,
    pub(crate) create_revision: i64,
    /// Nanoseconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) time: i64,
    pub(crate) sum: Option<Vec<u8>>,
    pub(crate) index: Option<Vec<u8>>,
    pub(crate) value: Option<Bytes>,
}

impl Stored {
    /// The record, its value checked: one that is not what was written is told, not shown.
    pub(crate) fn into_record(self, key: Key) -> Record {
        let index = self.index.as_deref().map(Index::decode).transpose();
        let intact = match (&self.value, &self.sum) {
            (Some(value), Some(sum)) => digest(value) == sum.as_slice(),
            _ => false,
        };
        let mut record = Record {
            revision: self.revision,
            create_revision: self.create_revision,
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.time)),
            ..Record::default()
        };
        match index {
            Ok(index) if intact => {
                record.index = index;
                record.value = self.value.unwrap_or_default();
            }
            _ => record.unreadable = damaged(&key, self.revision),
        }
        record.key = Some(key);
        record
    }
}

/// What is said of a value that is not what was written.
pub(crate) fn damaged(key: &Key, revision: i64) -> String {
    let path = path_of(&key.namespace, &key.name);
    let name = if key.group.is_empty() {
        key.resource.clone()
    } else {
        format!("{}.{}", key.resource, key.group)
    };
    format!("the stored value of {name} {path} at revision {revision} fails its checksum")
}

/// SHA-256 of a value; the database can compute the same.
pub(crate) fn digest(value: &[u8]) -> [u8; 32] {
    Sha256::digest(value).into()
}

/// The key as it is ordered: `namespace/name`, or `name` of a cluster-scoped record.
pub(crate) fn path_of(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// The reverse of [`path_of`].
pub(crate) fn key_of(group: &str, resource: &str, path: &str) -> Key {
    let (namespace, name) = path.split_once('/').unwrap_or(("", path));
    Key {
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// Nanoseconds since 1970 as the wire has them.
pub(crate) fn timestamp(nanos: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: nanos.div_euclid(1_000_000_000),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

/// The reverse of [`timestamp`]; an absent time is 1970.
pub(crate) fn nanos(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |time| {
        time.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(time.nanos))
    })
}
