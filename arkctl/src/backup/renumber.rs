//! Backups of releases before 0.2, whose revisions exceed 2^53 and which no driver takes
//! (docs/adr/0013-revisions-below-2-53.md).

use anyhow::Result;
use backend_proto::limits::LAST_BEGIN;
use backend_proto::v1::{Header, Record};

use super::file::Contents;

/// Every revision in a backup, ascending: a revision's place is its new number.
pub(super) struct Renumbering(Vec<i64>);

impl Renumbering {
    /// Reads the whole file once more if its revisions are too large. Takes 16 bytes of memory for
    /// each record.
    pub(super) fn of(contents: &Contents) -> Result<Option<Self>> {
        if contents.header().revision <= LAST_BEGIN {
            return Ok(None);
        }
        let mut numbers = Vec::new();
        for chunk in contents.chunks()? {
            for record in chunk?.records {
                numbers.extend([record.revision, created(&record)]);
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Some(Self(numbers)))
    }

    /// The header that goes with the new numbers.
    pub(super) fn header(&self, old: &Header) -> Header {
        let revision = i64::try_from(self.0.len()).unwrap_or(i64::MAX).max(1);
        Header {
            store_id: old.store_id.clone(),
            epoch: 1,
            revision,
            compact_revision: revision,
        }
    }

    /// Gives a record of the file its new numbers.
    pub(super) fn apply(&self, record: &mut Record) {
        let number = |old| self.0.partition_point(|number| *number <= old) as i64;
        let create_revision = number(created(record));
        record.revision = number(record.revision);
        record.create_revision = create_revision;
    }
}

fn created(record: &Record) -> i64 {
    record.create_revision.min(record.revision)
}
