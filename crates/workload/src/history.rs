//! Everything that the clients of a run have observed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::change::{Event, Key, Kind, Listing, Revision};
use crate::client::Head;
use crate::fault::Fault;

/// Faults of one kind of observation that are kept; further ones are only counted.
const KEPT_FAULTS: usize = 40;

/// The observations of all clients.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The list before the first write.
    pub baseline: Arc<Listing>,
    /// Writes that may have been applied, in the order in which each writer sent them.
    pub attempts: Vec<Attempt>,
    /// Observations of the watchers that have ended.
    pub watches: Vec<WatchLog>,
    /// Lists at the end, of every server.
    pub stored: Vec<Listing>,
    /// First revisions of all observed epochs.
    pub epochs: BTreeSet<Revision>,
    /// Keys that others than the workload's writers change.
    pub foreign: BTreeSet<Key>,
    /// Conflicts after a write with unknown outcome.
    pub conflicts: usize,
    /// Faults that were found during the run.
    pub faults: Vec<Fault>,
    /// Number of further faults.
    pub more_faults: usize,
}

/// A write that was applied, or may have been.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Written key.
    pub key: Key,
    /// Kind of the change.
    pub kind: Kind,
    /// Number of the stored or deleted content.
    pub number: u64,
    /// Origin, if the protocol stores it.
    pub author: Option<Arc<str>>,
    /// What its writer knows.
    pub outcome: Outcome,
}

/// What a writer knows of its write.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was acknowledged.
    Acknowledged {
        /// Revision, if the response has it.
        revision: Option<Revision>,
        /// Digest of the stored object, if the response has it.
        digest: Option<u64>,
        /// Server that acknowledged it.
        server: usize,
        /// Time of the response.
        at: Instant,
    },
    /// There was no response, or one that does not say.
    Unknown,
    /// It was rejected as a conflict by a store that loses commits: the server may have applied it
    /// in an epoch that ended before the response, and found the state of the next one then.
    Overtaken,
}

/// Observations of one watcher.
#[derive(Clone, Debug, Default)]
pub struct WatchLog {
    /// Name in messages.
    pub name: String,
    /// One segment for each list; the watcher resumes its watches within a segment.
    pub segments: Vec<Segment>,
    /// Number of watches that were opened.
    pub watches: usize,
    /// Reasons why watches ended, without repetitions.
    pub ends: Vec<String>,
}

/// The events after a list, or after a start without one.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// Revision after which the events begin.
    pub start: Revision,
    /// State at the start, if the watcher listed.
    pub listed: Option<Arc<Listing>>,
    /// In order of arrival.
    pub arrivals: Vec<Arrival>,
    /// Revision up to which everything was received.
    pub end: Revision,
}

/// An event at a watcher.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The event.
    pub event: Event,
    /// Server that sent it.
    pub server: usize,
    /// Time of arrival.
    pub at: Instant,
}

// === impl History ===

impl History {
    /// Records a fault.
    pub fn fault(&mut self, fault: Fault) {
        let kind = fault.guarantee();
        let same = self.faults.iter().filter(|known| known.guarantee() == kind);
        if same.count() < KEPT_FAULTS {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }

    /// Records the newest revision of the store, read after `observed` had been observed.
    pub fn head(&mut self, observed: Revision, head: &Head) {
        if head.revision < observed {
            self.fault(Fault::WentBack {
                observed,
                head: head.revision,
            });
        }
        if let Some((epoch, compacted)) = head.epoch {
            self.epochs.insert(epoch);
            if !(epoch <= compacted && compacted <= head.revision) {
                self.fault(Fault::Header {
                    epoch,
                    compacted,
                    revision: head.revision,
                });
            }
        }
    }

    /// The acknowledged writes.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Attempt> {
        let attempts = self.attempts.iter();
        attempts.filter(|attempt| attempt.is_acknowledged())
    }

    /// Number of writes whose outcome is unknown.
    #[must_use]
    pub fn unknown(&self) -> usize {
        let unknown = |attempt: &&Attempt| matches!(attempt.outcome, Outcome::Unknown);
        self.attempts.iter().filter(unknown).count()
    }

    /// Number of acknowledged writes at or after `from`, and before the next observed epoch.
    #[must_use]
    pub fn writes_in(&self, epoch: Revision) -> usize {
        let next = self.epochs.iter().find(|known| **known > epoch);
        let revisions = self.acknowledged().filter_map(Attempt::revision);
        revisions
            .filter(|at| epoch <= *at && next.is_none_or(|next| at < next))
            .count()
    }
}

// === impl Attempt ===

impl Attempt {
    /// Whether the writer got a response.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged { .. })
    }

    /// Acknowledged revision.
    #[must_use]
    pub const fn revision(&self) -> Option<Revision> {
        match self.outcome {
            Outcome::Acknowledged { revision, .. } => revision,
            Outcome::Unknown | Outcome::Overtaken => None,
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key, kind, number, ..
        } = self;
        write!(f, "{kind} of {key} (write {number})")?;
        match self.outcome {
            Outcome::Acknowledged {
                revision: Some(revision),
                server,
                ..
            } => write!(f, " at {revision} by server {server}"),
            Outcome::Acknowledged { server, .. } => write!(f, " by server {server}"),
            Outcome::Unknown => f.write_str(" with unknown outcome"),
            Outcome::Overtaken => f.write_str(" that was rejected as a conflict"),
        }
    }
}

// === impl WatchLog ===

impl WatchLog {
    /// All events of all segments.
    pub fn arrivals(&self) -> impl Iterator<Item = &Arrival> {
        self.segments.iter().flat_map(|segment| &segment.arrivals)
    }

    /// Number of watches after the first one of each segment.
    #[must_use]
    pub fn resumed(&self) -> usize {
        self.watches.saturating_sub(self.segments.len())
    }

    /// Revision up to which everything was received.
    #[must_use]
    pub fn position(&self) -> Revision {
        self.segments
            .last()
            .map_or(Revision::default(), |it| it.end)
    }
}

// === impl Segment ===

impl Segment {
    /// Begins after a list.
    #[must_use]
    pub fn listed(listing: Arc<Listing>) -> Self {
        Self {
            start: listing.revision,
            end: listing.revision,
            listed: Some(listing),
            arrivals: Vec::new(),
        }
    }

    /// Begins at a revision whose state is not known.
    #[must_use]
    pub fn after(start: Revision) -> Self {
        Self {
            start,
            end: start,
            ..Self::default()
        }
    }
}
