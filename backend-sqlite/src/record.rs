//! Conversion of rows of `log` to records and events.

use backend_proto::v1::{Index, Key, Record};
use bytes::Bytes;
use prost::Message as _;
use rusqlite::Row;
use sidecar::key::{display, path_of};
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

/// One row of `log`. The value of a row that fails its checksum is left out.
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

/// Fields of a row of `log` that its checksum covers.
#[derive(Debug)]
pub(crate) struct Sealed<'a> {
    pub(crate) key: &'a Key,
    pub(crate) revision: i64,
    pub(crate) change: i64,
    pub(crate) previous: i64,
    pub(crate) create_revision: i64,
    pub(crate) created_at: i64,
    pub(crate) time: i64,
    pub(crate) actor: &'a str,
    pub(crate) index: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

/// Set in `log.crc` of rows whose checksum covers [`Sealed`]. Without it, the row is of a release
/// before schema version 5, and the checksum covers the value alone.
const WHOLE_ROW: i64 = 1 << 32;

impl Sealed<'_> {
    /// Returns the value of `log.crc`.
    pub(crate) fn seal(&self) -> i64 {
        let numbers = [
            self.revision,
            self.change,
            self.previous,
            self.create_revision,
            self.created_at,
            self.time,
        ];
        let mut sum = 0;
        for number in numbers {
            sum = crc32c::crc32c_append(sum, &number.to_be_bytes());
        }
        let path = path_of(self.key);
        let texts = [&self.key.group, &self.key.resource, &path, self.actor].map(str::as_bytes);
        for field in texts.map(Some).into_iter().chain([self.index, self.value]) {
            // The length separates fields, and an absent field from an empty one.
            let length = field.map_or(u64::MAX, |bytes| bytes.len() as u64);
            sum = crc32c::crc32c_append(sum, &length.to_be_bytes());
            sum = crc32c::crc32c_append(sum, field.unwrap_or_default());
        }
        WHOLE_ROW | i64::from(sum)
    }

    /// Whether the row matches its stored checksum.
    fn matches(&self, stored: Option<i64>) -> bool {
        match stored {
            Some(stored) if stored & WHOLE_ROW != 0 => stored == self.seal(),
            stored => stored == self.value.map(|value| i64::from(checksum(value))),
        }
    }
}

impl Entry {
    /// Reads a row of [`columns`] and verifies it. Damage is reported in the record.
    pub(crate) fn read(row: &Row<'_>, key: Key) -> Result<Self, Error> {
        let revision = row.get(0)?;
        let create_revision = row.get(1)?;
        let created_at = row.get(2)?;
        let time = row.get(3)?;
        let encoded = row.get_ref(4)?.as_blob_or_null().map_err(unexpected)?;
        let value = row.get_ref(6)?.as_blob_or_null().map_err(unexpected)?;
        let (change, previous) = (row.get(7)?, row.get(8)?);
        let actor = row.get_ref(9)?.as_str().map_err(unexpected)?;
        let sealed = Sealed {
            key: &key,
            revision,
            change,
            previous,
            create_revision,
            created_at,
            time,
            actor,
            index: encoded,
            value,
        };
        let intact = sealed.matches(row.get(5)?);
        let actor = actor.to_owned();
        let index = encoded.map(Index::decode).transpose();
        let damaged = !intact || index.is_err();
        let value = value.filter(|_| !damaged);
        let mut record = Record {
            key: Some(key),
            revision,
            create_revision,
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
            change,
            previous,
            actor,
            time,
            created_at,
        })
    }
}

impl Entry {
    /// As [`Entry::read`], of an object in `current` whose revision is in column `at`. If its row
    /// of `log` is missing, the record says so: a list must not be short.
    pub(crate) fn read_joined(row: &Row<'_>, at: usize, key: Key) -> Result<Self, Error> {
        match row.get::<_, Option<i64>>(0)? {
            Some(_) => Self::read(row, key),
            None => Ok(Self::missing(key, row.get(at)?)),
        }
    }

    /// Entry for a change that is missing.
    pub(crate) fn missing(key: Key, revision: i64) -> Self {
        let unreadable = Error::Dangling {
            key: display(&key),
            revision,
        };
        Self {
            record: Record {
                key: Some(key),
                revision,
                create_revision: revision,
                created_at: Some(timestamp(0)),
                updated_at: Some(timestamp(0)),
                unreadable: unreadable.to_string(),
                ..Record::default()
            },
            change: change::UPDATED,
            previous: 0,
            actor: String::new(),
            time: 0,
            created_at: 0,
        }
    }
}

fn unexpected(error: rusqlite::types::FromSqlError) -> Error {
    Error::Storage(rusqlite::Error::from(error))
}

/// Returns the CRC32C of some bytes.
pub(crate) fn checksum(value: &[u8]) -> u32 {
    crc32c::crc32c(value)
}
