//! Clients of a run, and their rules.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::script::Script;
use crate::tolerance::Tolerance;
use crate::verdict::Epochs;

/// Clients of a run, and their rules.
#[derive(Clone, Debug)]
pub struct Options {
    /// One writer for each script.
    pub writers: Vec<Script>,
    /// Time between two requests of a writer; none to send the next one at once.
    pub pace: Option<Pace>,
    /// Number of watchers from the beginning, distributed over the servers.
    pub watchers: usize,
    /// Whether to start one more watcher, at every server, from each acknowledged revision.
    pub from_every_revision: bool,
    /// Time between two reads of a reader, one for each server; none without readers.
    pub readers: Option<Duration>,
    /// What a writer does after a write without a conclusive response.
    pub after_unknown: AfterUnknown,
    /// Errors that are no faults.
    pub tolerance: Tolerance,
    /// Choice of servers.
    pub routing: Routing,
    /// Longest pause after an error that asks for a later retry.
    pub max_pause: Duration,
    /// Epochs of the store.
    pub epochs: Epochs,
    /// Deadline of each phase of the end: open writes are settled, watchers read to the last
    /// change.
    pub drain: Duration,
}

/// Times of a writer's requests.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Time between two requests.
    pub interval: Duration,
    /// Whether requests that were delayed are sent later in addition.
    pub missed: MissedTickBehavior,
}

/// Server of a client's next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// Always the same.
    Pinned,
    /// The next one after an error.
    NextAfterError,
    /// The next one for each write; after an error for watches.
    NextForEachWrite,
}

/// What a writer does after a write without a conclusive response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterUnknown {
    /// Repeats it until there is a response. The server recognizes the repetition by its id, and
    /// repeats its outcome.
    RepeatById,
    /// Repeats it until there is a response. After a conflict it reads the object: the first
    /// attempt may have been applied.
    RepeatAndRead,
    /// Reads the object and goes on; the outcome stays unknown.
    Read,
}
