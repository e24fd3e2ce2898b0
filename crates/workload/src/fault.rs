//! Violations of guarantees.

use std::fmt;

use crate::call::Call;
use crate::change::{Key, Revision};

/// What a store promises to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// An acknowledged write is stored.
    NothingLost,
    /// A revision is the revision of one change.
    RevisionsUnique,
    /// The newest revision never decreases.
    RevisionsMonotonic,
    /// A watcher receives every change once and in order.
    WatchesComplete,
    /// A write whose response was lost is applied at most once, and its writer can learn of it.
    OutcomesKnown,
}

/// A violation, with what was observed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An acknowledged write is not in the final state.
    #[error("lost write: {write} was acknowledged, but the store has {found}")]
    Lost {
        /// The write.
        write: String,
        /// State of its key at the end.
        found: String,
    },
    /// An acknowledged write is in no watch.
    #[error("lost write: {write} was acknowledged, but no watcher received it")]
    NotDelivered {
        /// The write.
        write: String,
    },
    /// A write was rejected although no other writer changes its key.
    #[error("{write} was rejected, although only its writer changes the key: {error}")]
    Conflict {
        /// The write.
        write: String,
        /// Response.
        error: String,
    },
    /// A read returned an older state than its writer had been acknowledged.
    #[error("{key} was read at {found}, but {acknowledged} had been acknowledged")]
    StaleRead {
        /// The key.
        key: Key,
        /// Acknowledged revision.
        acknowledged: Revision,
        /// What was read.
        found: String,
    },
    /// An object that no client writes has another content.
    #[error("{key} changed without a write: from {before} to {after}")]
    Changed {
        /// The key.
        key: Key,
        /// State before the run.
        before: String,
        /// State at the end.
        after: String,
    },
    /// Nothing was acknowledged.
    #[error("no write was acknowledged, so that nothing was checked")]
    NoLoad,
    /// A revision identifies two changes.
    #[error("revision {revision} identifies two changes: {one}; {other}")]
    TwoMeanings {
        /// The revision.
        revision: Revision,
        /// One of them.
        one: String,
        /// The other one.
        other: String,
    },
    /// The newest revision decreased.
    #[error("the newest revision is {head}, but {observed} had been observed")]
    WentBack {
        /// Observed revision.
        observed: Revision,
        /// Revision of the store afterwards.
        head: Revision,
    },
    /// Epoch, compact revision and newest revision are out of order.
    #[error("epoch {epoch}, compact revision {compacted} and revision {revision} are out of order")]
    Header {
        /// Epoch.
        epoch: Revision,
        /// Compact revision.
        compacted: Revision,
        /// Newest revision.
        revision: Revision,
    },
    /// The epoch changed although the store lost nothing.
    #[error("a new epoch began at {0}")]
    NewEpoch(Revision),
    /// A watcher received an event with a lower or equal revision than the one before.
    #[error("{watcher}: event {event} after revision {after}: repeated or out of order")]
    Disorder {
        /// The watcher.
        watcher: String,
        /// The event.
        event: String,
        /// Revision before it.
        after: Revision,
    },
    /// A watcher did not receive a change.
    #[error("{watcher}: a watch from {start} to {end} left out {event}")]
    Missed {
        /// The watcher.
        watcher: String,
        /// Start of its segment.
        start: Revision,
        /// End of its segment.
        end: Revision,
        /// The change.
        event: String,
    },
    /// An event does not follow from the state before it.
    #[error("{watcher}: event {event} does not follow from {state}")]
    Unexpected {
        /// The watcher.
        watcher: String,
        /// The event.
        event: String,
        /// State of the key before it.
        state: String,
    },
    /// A watch went on into another epoch.
    #[error("{watcher}: a watch from {start} went on to {event} in another epoch")]
    CrossedEpoch {
        /// The watcher.
        watcher: String,
        /// Start of its segment.
        start: Revision,
        /// The event.
        event: String,
    },
    /// A watcher had to list again although the epoch did not change.
    #[error("{watcher}: had to list again at {at}: {reason}")]
    Relisted {
        /// The watcher.
        watcher: String,
        /// Revision of the new list.
        at: Revision,
        /// Last reason of an end of a watch.
        reason: String,
    },
    /// A watcher did not receive everything in time.
    #[error("{watcher}: received changes up to {position} only, due {due}")]
    Behind {
        /// The watcher.
        watcher: String,
        /// Its position.
        position: Revision,
        /// Revision of the final list.
        due: Revision,
    },
    /// The state built from events differs from a list.
    #[error("{observer} has {one} for {key}, the final list {other}")]
    Diverged {
        /// A watcher or another list.
        observer: String,
        /// The key.
        key: Key,
        /// State according to the observer.
        one: String,
        /// State according to the list.
        other: String,
    },
    /// An event or object has no write.
    #[error("no write explains {0}")]
    Unexplained(String),
    /// A write was applied twice.
    #[error("one write was applied twice: {one}; {other}")]
    AppliedTwice {
        /// The first event.
        one: String,
        /// The second event.
        other: String,
    },
    /// A repeated write did not return its outcome.
    #[error("{write} was first {first}, then {second}")]
    Outcome {
        /// The write.
        write: String,
        /// First response.
        first: String,
        /// Response to a repetition.
        second: String,
    },
    /// A write got no response until the deadline.
    #[error("the outcome of {0} is unknown at the end")]
    Unsettled(String),
    /// An error that clients must not get in this run.
    #[error("a {call} failed: {error}")]
    Error {
        /// The call.
        call: Call,
        /// The error.
        error: String,
    },
}

// === impl Fault ===

impl Fault {
    /// The violated guarantee.
    #[must_use]
    pub const fn guarantee(&self) -> Guarantee {
        match self {
            Self::Lost { .. }
            | Self::NotDelivered { .. }
            | Self::Conflict { .. }
            | Self::StaleRead { .. }
            | Self::Changed { .. }
            | Self::NoLoad => Guarantee::NothingLost,
            Self::TwoMeanings { .. } => Guarantee::RevisionsUnique,
            Self::WentBack { .. } | Self::Header { .. } | Self::NewEpoch(_) => {
                Guarantee::RevisionsMonotonic
            }
            Self::Disorder { .. }
            | Self::Missed { .. }
            | Self::Unexpected { .. }
            | Self::CrossedEpoch { .. }
            | Self::Relisted { .. }
            | Self::Behind { .. }
            | Self::Diverged { .. }
            | Self::Unexplained(_) => Guarantee::WatchesComplete,
            Self::AppliedTwice { .. } | Self::Outcome { .. } | Self::Unsettled(_) => {
                Guarantee::OutcomesKnown
            }
            Self::Error { call, .. } => match call {
                Call::Watch => Guarantee::WatchesComplete,
                Call::Write | Call::Read | Call::List => Guarantee::NothingLost,
            },
        }
    }
}

// === impl Guarantee ===

impl Guarantee {
    /// All guarantees.
    pub const ALL: [Self; 5] = [
        Self::NothingLost,
        Self::RevisionsUnique,
        Self::RevisionsMonotonic,
        Self::WatchesComplete,
        Self::OutcomesKnown,
    ];
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingLost => "an acknowledged write is stored",
            Self::RevisionsUnique => "a revision identifies one change",
            Self::RevisionsMonotonic => "the newest revision never decreases",
            Self::WatchesComplete => "a watcher receives every change once and in order",
            Self::OutcomesKnown => "a repeated write is applied once",
        })
    }
}
