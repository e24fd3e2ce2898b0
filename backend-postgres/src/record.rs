//! Conversion of rows to records.

use backend_proto::v1::{Index, Key, Record};
use bytes::Bytes;
use prost::Message as _;
use ring::digest::{Digest, SHA256};
use sidecar::key::display;
use sidecar::time::timestamp;

/// Value of `log.change` for a delete. The numbers are those of `Event.Type` and `Op.Action` in the
/// protocol.
pub(crate) const DELETED: i16 = 3;

/// A stored value as in its row.
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
    /// Converts to a record after verifying the value. A value that fails its checksum is left out
    /// and reported in the record.
    pub(crate) fn into_record(self, key: Key) -> Record {
        let index = self.index.as_deref().map(Index::decode).transpose();
        let intact = match (&self.value, &self.sum) {
            (Some(value), Some(sum)) => digest(value).as_ref() == sum.as_slice(),
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

/// Message about a value that fails its checksum.
pub(crate) fn damaged(key: &Key, revision: i64) -> String {
    let name = display(key);
    format!("the stored value of {name} at revision {revision} fails its checksum")
}

/// Returns the SHA-256 of a value; PostgreSQL's `sha256` computes the same.
pub(crate) fn digest(value: &[u8]) -> Digest {
    ring::digest::digest(&SHA256, value)
}
