//! Rows of `log` ⇄ records and events, and the form of keys.

use backend_proto::v1::{Index, Key, Record};
use bytes::Bytes;
use prost::Message as _;
use rusqlite::Row;

use crate::error::Error;

/// The columns that [`Entry::read`] expects, in its order, of `log` under the alias `l`.
macro_rules! columns {
    () => {
        "l.revision, l.create_revision, l.created_at, l.time, l.idx, l.crc, l.value, l.change, \
         l.previous, l.actor"
    };
}
pub(crate) use columns;

/// `log.change`: the same numbers as `Event.Type` of the protocol.
pub(crate) mod change {
    pub(crate) const CREATED: i64 = 1;
    pub(crate) const UPDATED: i64 = 2;
    pub(crate) const DELETED: i64 = 3;
}

/// One row of `log`, its value checked: one that is not what was written is left out.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) change: i64,
    pub(crate) previous: i64,
    pub(crate) actor: String,
    /// Commit time, nanoseconds since 1970.
    pub(crate) time: i64,
    /// When the record was created, nanoseconds since 1970.
    pub(crate) created_at: i64,
}

impl Entry {
    /// Reads a row of [`columns`] and checks its value; a damaged one is told in the record.
    pub(crate) fn read(row: &Row<'_>, key: Key) -> Result<Self, Error> {
        let revision = row.get(0)?;
        let created_at = row.get(2)?;
        let time = row.get(3)?;
        let index = row.get_ref(4)?.as_blob_or_null().map_err(unexpected)?;
        let value = row.get_ref(6)?.as_blob_or_null().map_err(unexpected)?;
        let checksum_of_stored: Option<u32> = row.get(5)?;
        let intact = value.map(checksum) == checksum_of_stored;
        let index = index.map(Index::decode).transpose();
        let damaged = !intact || index.is_err();
        let value = value.filter(|_| !damaged);
        let mut record = Record {
            key: Some(key),
            revision,
            create_revision: row.get(1)?,
            value: value.map(Bytes::copy_from_slice).unwrap_or_default(),
            index: index.unwrap_or_default(),
            created_at: Some(timestamp(created_at)),
            updated_at: Some(timestamp(time)),
            unreadable: String::new(),
        };
        if damaged {
            record.unreadable = Error::CorruptValue {
                key: record.key.as_ref().map(display).unwrap_or_default(),
                revision,
            }
            .to_string();
        }
        Ok(Self {
            record,
            change: row.get(7)?,
            previous: row.get(8)?,
            actor: row.get(9)?,
            time,
            created_at,
        })
    }
}

fn unexpected(error: rusqlite::types::FromSqlError) -> Error {
    Error::Storage(rusqlite::Error::from(error))
}

/// CRC32C of a value.
pub(crate) fn checksum(value: &[u8]) -> u32 {
    crc32c::crc32c(value)
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

/// A key for people.
pub(crate) fn display(key: &Key) -> String {
    let path = path_of(&key.namespace, &key.name);
    if key.group.is_empty() {
        format!("{} {path}", key.resource)
    } else {
        format!("{}.{} {path}", key.resource, key.group)
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

/// The wall clock, nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
