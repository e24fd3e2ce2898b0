//! Conversion of rows of `log` to records and events.

use backend_proto::v1::{Index, Key, Record};
use bytes::Bytes;
use prost::Message as _;
use rusqlite::Row;
use sidecar::key::display;
use sidecar::time::timestamp;

use crate::error::Error;

/// Columns of `log` (alias `l`) in the order that [`Entry::read`] expects.
macro_rules! columns {
    () => {
        "l.revision, l.create_revision, l.created_at, l.time, l.idx, l.crc, l.value, l.change, \
         l.previous, l.actor"
    };
}
pub(crate) use columns;

/// Values of `log.change`: the numbers of `Event.Type` in the protocol.
pub(crate) mod change {
    pub(crate) const CREATED: i64 = 1;
    pub(crate) const UPDATED: i64 = 2;
    pub(crate) const DELETED: i64 = 3;
}

/// One row of `log` with a verified value; a value that fails its checksum is left out.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) change: i64,
    pub(crate) previous: i64,
    pub(crate) actor: String,
    /// Commit time in nanoseconds since 1970.
    pub(crate) time: i64,
    /// Creation time of the record in nanoseconds since 1970.
    pub(crate) created_at: i64,
}

impl Entry {
    /// Reads a row of [`columns`] and verifies its value. A damaged value is reported in the
    /// record.
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

/// Returns the CRC32C of a value.
pub(crate) fn checksum(value: &[u8]) -> u32 {
    crc32c::crc32c(value)
}
