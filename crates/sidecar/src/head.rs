//! Where a store stands, and which revisions can be asked for.

use std::time::SystemTime;

use backend_proto::clock;
use backend_proto::limits::{LAST_WRITE, MAX_REVISION};
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::{BackendError, Header};

use crate::refuse;

/// Where a store stands. Ordered by age: epochs only grow, and revisions within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// See [`Header::epoch`].
    pub epoch: i64,
    /// Newest committed and durable revision.
    pub revision: i64,
    /// Newest revision whose history is gone.
    pub compact_revision: i64,
}

/// A revision that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// It is no longer retained.
    #[error("history up to revision {compact_revision} is gone")]
    Compacted {
        /// The current compact revision.
        compact_revision: i64,
    },
    /// It does not exist yet.
    #[error("revision {asked} is above the current revision {current}")]
    Future {
        /// What the caller asked for.
        asked: i64,
        /// The newest committed revision.
        current: i64,
    },
}

/// No revision is left for a change, or an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store is at revision {newest}, and none is left for this: save it with `arkctl \
     backup` and restore that into an empty store, which numbers it anew"
)]
pub struct Exhausted {
    /// The newest revision that the store remembers.
    pub newest: i64,
}

/// Numbers that no store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the row of the table store is damaged: it has epoch {}, compact revision {} and revision {}, \
     which are not from 1 to {MAX_REVISION} in that order: restore a backup",
    .0.epoch, .0.compact_revision, .0.revision
)]
pub struct Damaged(pub Head);

impl Head {
    /// The head that a store was left with, as far as it can be one.
    ///
    /// # Errors
    /// If its numbers are not in order, or not in range.
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

    /// Where a store begins that is only made now: see [`Self::begin`].
    #[must_use]
    pub fn made(now: SystemTime) -> Self {
        Self::at(clock::revision_at(now))
    }

    /// Where a new epoch begins: above `newest`, the newest epoch and revision that the store
    /// remembers, and not before the clock.
    ///
    /// A restored store, or one made in place of another, does not remember the revisions that it
    /// issued since; clients do. The clock puts the new epoch above them: 4096 revisions per
    /// millisecond since 2026 are more than any store issues. History before the epoch counts as
    /// compacted, so that every reader lists again (docs/adr/0013-revisions-below-2-53.md).
    ///
    /// # Errors
    /// If `newest` leaves no room below [`MAX_REVISION`].
    pub fn begin(newest: Self, now: SystemTime) -> Result<Self, Exhausted> {
        let newest = newest.epoch.max(newest.revision);
        if newest >= MAX_REVISION {
            return Err(Exhausted { newest });
        }
        Ok(Self::at(clock::revision_at(now).max(newest + 1)))
    }

    /// The beginning of an epoch.
    const fn at(revision: i64) -> Self {
        Self {
            epoch: revision,
            revision,
            compact_revision: revision,
        }
    }

    /// Whether another change may follow `newest`.
    ///
    /// # Errors
    /// If it would be above [`LAST_WRITE`]. Ask after looking for the operation's op_id: one that was
    /// applied before gets its first verdict.
    pub const fn check_room(newest: i64) -> Result<(), Exhausted> {
        if newest >= LAST_WRITE {
            return Err(Exhausted { newest });
        }
        Ok(())
    }

    /// The larger of each number of two heads: what must not be issued again by either store.
    #[must_use]
    pub fn max_of(self, other: Self) -> Self {
        Self {
            epoch: self.epoch.max(other.epoch),
            revision: self.revision.max(other.revision),
            compact_revision: self.compact_revision.max(other.compact_revision),
        }
    }

    /// Whether nothing was ever written in the epoch. The store may hold what an earlier epoch or
    /// an import left.
    #[must_use]
    pub const fn has_just_begun(self) -> bool {
        self.revision == self.epoch
    }

    /// The header of an answer.
    #[must_use]
    pub const fn header(self, store_id: String) -> Header {
        Header {
            store_id,
            epoch: self.epoch,
            revision: self.revision,
            compact_revision: self.compact_revision,
        }
    }

    /// The revision whose state a read gets that asks for `revision`; 0 stands for the newest.
    ///
    /// # Errors
    /// If state at that revision is gone, or not there yet.
    pub const fn readable(self, revision: i64) -> Result<i64, RevisionError> {
        if revision == 0 {
            return Ok(self.revision);
        }
        match self.follows(revision) {
            Ok(()) => Ok(revision),
            Err(error) => Err(error),
        }
    }

    /// Whether every change after `revision` can be read.
    ///
    /// # Errors
    /// If some of them are gone, or `revision` is not there yet.
    pub const fn follows(self, revision: i64) -> Result<(), RevisionError> {
        if revision < self.compact_revision {
            return Err(RevisionError::Compacted {
                compact_revision: self.compact_revision,
            });
        }
        self.reached(revision)
    }

    /// Whether `revision` was reached.
    ///
    /// # Errors
    /// If it was not.
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
