//! Renumbering of backups whose revisions no driver accepts: those of releases before 0.2, which
//! exceed 2^53, and of stores whose revisions were exhausted
//! (docs/adr/0013-revisions-below-2-53.md).

use std::time::SystemTime;

use anyhow::Result;
use backend_proto::limits::LAST_IMPORT;
use backend_proto::v1::{Header, Record};

use super::file::Contents;
use crate::number;

/// The mapping of a backup's revisions to new ones.
pub(super) struct Renumbering {
    /// The new epoch. It is not 1, because the newest revisions issued for this content are not in
    /// the file, and the file may be restored again later.
    base: i64,
    /// Every revision in the backup in ascending order. A revision's new number is `base` plus its
    /// position.
    old: Vec<i64>,
}

impl Renumbering {
    /// Numbers the revisions above [`number::base`] for the target, if the backup's revisions are
    /// too large. Reads the whole file once more, and takes 16 bytes of memory per record.
    pub(super) fn of(contents: &Contents, target: &Header) -> Result<Option<Self>> {
        if contents.header().revision <= LAST_IMPORT {
            return Ok(None);
        }
        let base = number::base(target, SystemTime::now())?;
        let mut old = Vec::new();
        for chunk in contents.chunks()? {
            for record in chunk?.records {
                old.extend([record.revision, created(&record)]);
            }
        }
        old.sort_unstable();
        old.dedup();
        Ok(Some(Self { base, old }))
    }

    /// Returns the header with the new numbers.
    pub(super) fn header(&self, old: &Header) -> Header {
        let revision = self.base + self.old.len() as i64;
        Header {
            store_id: old.store_id.clone(),
            epoch: self.base,
            revision,
            compact_revision: revision,
        }
    }

    /// Renumbers a record of the file.
    pub(super) fn apply(&self, record: &mut Record) {
        let place = |old| self.old.partition_point(|number| *number <= old) as i64;
        let number = |old| self.base + place(old);
        let create_revision = number(created(record));
        record.revision = number(record.revision);
        record.create_revision = create_revision;
    }
}

fn created(record: &Record) -> i64 {
    record.create_revision.min(record.revision)
}
