//! Where a store stands, and which revisions can be asked for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backend_proto::limits::epoch_base;
use backend_proto::v1::{BackendError, Header};

use crate::refuse;

/// Epochs are numbered by the clock: one number for every 120 s since 2026 began. 23 bits of them
/// last until 2057.
const EPOCHS_SINCE: Duration = Duration::from_secs(1_767_225_600);
const EPOCH_MILLIS: i64 = 120_000;

/// Room above the clock's numbers, for epochs that follow each other faster.
const LAST_BY_CLOCK: i64 = (1 << 23) - (1 << 16);

/// Epochs of one number begin with different counters: at the milliseconds since the clock came to
/// that number, times two to the power of `MILLI_SHIFT`, which is more than a store changes in one.
/// `EARLY` of them, nine hours, are added, because epochs that follow each other are ahead of the
/// clock. Three quarters of the counter are left.
const MILLI_SHIFT: u32 = 12;
const EARLY: i64 = 1 << 25;

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

impl Head {
    /// Where an epoch begins, above `newest`, the newest that the store knows of: 0 if the store is
    /// only made now.
    ///
    /// A store that was set back, or made anew, does not know how far it had come, but clients do.
    /// So the clock says where an epoch begins: above every revision that was given out before,
    /// whoever forgot it. History before it counts as compacted, so that every reader starts afresh.
    #[must_use]
    pub fn begin(newest: i64, now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = since.saturating_sub(EPOCHS_SINCE).as_millis();
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        let number = (millis / EPOCH_MILLIS).min(LAST_BY_CLOCK);
        let epoch = number.max(newest + 1);
        let since = millis.saturating_sub(epoch * EPOCH_MILLIS);
        let counter = (since.clamp(-EARLY, EARLY) + EARLY) << MILLI_SHIFT;
        let revision = epoch_base(epoch) + counter;
        Self {
            epoch,
            revision,
            compact_revision: revision,
        }
    }

    /// Whether the epoch has only begun. A store that was written to may look like that, once in a
    /// few thousand revisions, if all its history is compacted: look for what it holds, too.
    #[must_use]
    pub const fn has_just_begun(self) -> bool {
        self.revision == self.compact_revision && self.revision.trailing_zeros() >= MILLI_SHIFT
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use backend_proto::limits::epoch_of;

    use super::{EPOCHS_SINCE, Head, LAST_BY_CLOCK, MILLI_SHIFT, RevisionError};

    #[test]
    fn what_begins_later_is_above_whoever_forgot_what() {
        let start = UNIX_EPOCH + EPOCHS_SINCE;
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert_eq!(Head::begin(0, UNIX_EPOCH).epoch, 1);
        assert_eq!(Head::begin(1, at(31_536_000.0)).epoch, 262_800);
        assert_eq!(Head::begin(300_000, at(31_536_000.0)).epoch, 300_001);
        // What the store knows of, and when it begins anew.
        for newest in [0, 8, 9, 10, 100] {
            let times = [
                1080.0, 1080.001, 1199.9, 1200.0, 1200.001, 1320.0, 9000.0, 8e8, 9e8,
            ];
            let heads = times.map(|seconds| Head::begin(newest, at(seconds)));
            for pair in heads.windows(2) {
                // Room for the changes between them.
                let room = pair[1].revision - pair[0].revision;
                assert!(room >= 1 << MILLI_SHIFT, "{newest}: {pair:?}");
            }
            for head in heads {
                assert!(head.epoch > newest && epoch_of(head.revision) == head.epoch);
                assert!(head.has_just_begun());
                let revision = head.revision + 1;
                assert!(!Head { revision, ..head }.has_just_begun());
            }
        }
        let last = Head::begin(LAST_BY_CLOCK, at(3e9));
        assert_eq!(last.epoch, LAST_BY_CLOCK + 1);
    }

    #[test]
    fn what_can_be_read_lies_between_compaction_and_now() {
        let head = Head {
            epoch: 1,
            revision: 20,
            compact_revision: 10,
        };
        let gone = Err(RevisionError::Compacted {
            compact_revision: 10,
        });
        let future = |asked| RevisionError::Future { asked, current: 20 };
        let readable = [0, 9, 10, 20, 21].map(|asked| head.readable(asked));
        let want = [Ok(20), gone, Ok(10), Ok(20), Err(future(21))];
        assert_eq!(readable, want);
        assert_eq!(head.follows(0), gone.map(|_: i64| ()));
        assert_eq!(
            (head.reached(0), head.reached(21)),
            (Ok(()), Err(future(21)))
        );
    }
}
