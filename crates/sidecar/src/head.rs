//! Position of a store (epoch, revision, compact revision), and which revisions are readable.

use std::time::SystemTime;

use backend_proto::clock;
use backend_proto::limits::{LAST_WRITE, MAX_REVISION};
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::{BackendError, Header};

use crate::refuse;

/// Position of a store. Ordered by age: epochs only grow, and revisions grow within an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// See [`Header::epoch`].
    pub epoch: i64,
    /// Newest committed and durable revision.
    pub revision: i64,
    /// Newest revision whose history was compacted.
    pub compact_revision: i64,
}

/// Reason why a revision is not readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// The revision is no longer retained.
    #[error("history up to revision {compact_revision} is gone")]
    Compacted {
        /// The current compact revision.
        compact_revision: i64,
    },
    /// The revision does not exist yet.
    #[error("revision {asked} is above the current revision {current}")]
    Future {
        /// Requested revision.
        asked: i64,
        /// Newest committed revision.
        current: i64,
    },
}

/// No revision is left for a change or an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store is at revision {newest}, and none is left for this: save it with `arkctl \
     backup` and restore that into an empty store, which assigns new revisions"
)]
pub struct Exhausted {
    /// Newest revision in the store.
    pub newest: i64,
}

/// Numbers that no valid store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the row of the table store is damaged: it has epoch {}, compact revision {} and revision {}, \
     which are not from 1 to {MAX_REVISION} in that order: restore a backup",
    .0.epoch, .0.compact_revision, .0.revision
)]
pub struct Damaged(pub Head);

impl Head {
    /// Validates the head read from a store.
    ///
    /// # Errors
    /// If its numbers are out of order or out of range.
    pub const fn check(self) -> Result<Self, Damaged> {
        let in_order = 1 <= self.epoch
            && self.epoch <= self.compact_revision
            && self.compact_revision <= self.revision
            && self.revision <= MAX_REVISION;
        if in_order {
            Ok(self)
        } else {
            Err(Damaged(self))
        }
    }

    /// Returns the head of a newly created store: see [`Self::begin`].
    #[must_use]
    pub fn made(now: SystemTime) -> Self {
        Self::at(clock::revision_at(now))
    }

    /// Returns the head at which a new epoch begins: above `newest`, the newest epoch and revision
    /// in the store, and not below the clock.
    ///
    /// A restored store, or one created in place of another, lacks revisions that were issued to
    /// clients. The clock puts the new epoch above them: no store issues 4096 revisions per
    /// millisecond, counted from 2026. History before the epoch counts as compacted, so that every
    /// client lists again (docs/adr/0013-revisions-below-2-53.md).
    ///
    /// # Errors
    /// If no revision is left between `newest` and [`MAX_REVISION`].
    pub fn begin(newest: Self, now: SystemTime) -> Result<Self, Exhausted> {
        let newest = newest.epoch.max(newest.revision);
        if newest >= MAX_REVISION {
            return Err(Exhausted { newest });
        }
        Ok(Self::at(clock::revision_at(now).max(newest + 1)))
    }

    /// Head of an epoch without changes.
    const fn at(revision: i64) -> Self {
        Self {
            epoch: revision,
            revision,
            compact_revision: revision,
        }
    }

    /// Checks that another change may follow `newest`.
    ///
    /// # Errors
    /// If its revision would exceed [`LAST_WRITE`]. Check after the lookup of the operation's
    /// op_id: a retry of an applied operation must get its first verdict.
    pub const fn check_room(newest: i64) -> Result<(), Exhausted> {
        if newest >= LAST_WRITE {
            return Err(Exhausted { newest });
        }
        Ok(())
    }

    /// Takes the maximum of each number: no revision of either store may be issued again.
    #[must_use]
    pub fn max_of(self, other: Self) -> Self {
        Self {
            epoch: self.epoch.max(other.epoch),
            revision: self.revision.max(other.revision),
            compact_revision: self.compact_revision.max(other.compact_revision),
        }
    }

    /// Whether the epoch has no changes yet. The store may still hold records of an earlier epoch
    /// or an import.
    #[must_use]
    pub const fn has_just_begun(self) -> bool {
        self.revision == self.epoch
    }

    /// Converts into the header of a response.
    #[must_use]
    pub const fn header(self, store_id: String) -> Header {
        Header {
            store_id,
            epoch: self.epoch,
            revision: self.revision,
            compact_revision: self.compact_revision,
        }
    }

    /// Returns the revision at which a read of `revision` is served; 0 means the newest.
    ///
    /// # Errors
    /// If the state at that revision is compacted or does not exist yet.
    pub const fn readable(self, revision: i64) -> Result<i64, RevisionError> {
        if revision == 0 {
            return Ok(self.revision);
        }
        match self.follows(revision) {
            Ok(()) => Ok(revision),
            Err(error) => Err(error),
        }
    }

    /// Checks that every change after `revision` is readable.
    ///
    /// # Errors
    /// If some of them are compacted, or `revision` does not exist yet.
    pub const fn follows(self, revision: i64) -> Result<(), RevisionError> {
        if revision < self.compact_revision {
            return Err(RevisionError::Compacted {
                compact_revision: self.compact_revision,
            });
        }
        self.reached(revision)
    }

    /// Checks that `revision` exists.
    ///
    /// # Errors
    /// If it does not.
    pub const fn reached(self, revision: i64) -> Result<(), RevisionError> {
        if revision > self.revision {
            return Err(RevisionError::Future {
                asked: revision,
                current: self.revision,
            });
        }
        Ok(())
    }
}

impl From<RevisionError> for BackendError {
    fn from(error: RevisionError) -> Self {
        match error {
            RevisionError::Compacted { compact_revision } => refuse::compacted(compact_revision),
            RevisionError::Future { asked, current } => refuse::future(asked, current),
        }
    }
}

impl From<Exhausted> for BackendError {
    fn from(error: Exhausted) -> Self {
        refuse::error(Reason::NotReady, error.to_string())
    }
}

#[cfg(test)]
mod tests;
