//! Backups whose revisions no driver takes: those of releases before 0.2, which exceed 2^53, and of
//! stores that ran out of them
//! (docs/adr/0013-revisions-below-2-53.md).

use std::time::SystemTime;

use anyhow::Result;
use backend_proto::limits::LAST_IMPORT;
use backend_proto::v1::{Header, Record};

use super::file::Contents;
use crate::number;

/// The new numbers of a backup's revisions.
pub(super) struct Renumbering {
    /// The new epoch. The newest numbers that were ever given to this content are not in the file,
    /// which may be restored again later: so it is not 1.
    base: i64,
    /// Every revision in the backup, ascending: a revision's place, above `base`, is its new number.
    old: Vec<i64>,
}

impl Renumbering {
    /// Numbers above what [`number::base`] gives for the target, if the backup's revisions are too
    /// large. Reads the whole file once more, and takes 16 bytes of memory for each record.
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

    /// The header that goes with the new numbers.
    pub(super) fn header(&self, old: &Header) -> Header {
        let revision = self.base + self.old.len() as i64;
        Header {
            store_id: old.store_id.clone(),
            epoch: self.base,
            revision,
            compact_revision: revision,
        }
    }

    /// Gives a record of the file its new numbers.
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
