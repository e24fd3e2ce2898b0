//! What goes wrong on command.

use std::collections::HashMap;

use backend_proto::error::{BackendError, Outcome, Reason};

/// Trouble of the fake; the default is none.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Every call of Write and CurrentRevision fails so.
    pub(crate) calls: Option<BackendError>,
    /// Operations on objects with these names are refused.
    pub(crate) refused: HashMap<String, BackendError>,
    /// Calls of Write and CurrentRevision are neither done nor answered.
    pub(crate) silent: bool,
    /// Calls of Write are done, but not answered.
    pub(crate) silent_once_stored: bool,
    /// So many creates find their name taken.
    pub(crate) taken: usize,
    /// How the next lists of things are less than whole, the last first.
    pub(crate) short_lists: Vec<Short>,
    /// An import is unfinished, into an empty store in this epoch.
    pub(crate) importing: Option<i64>,
    /// Watchers are told of nothing above this revision.
    pub(crate) held: Option<i64>,
}

/// How a list can be short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// It ends without its closing count.
    Ends,
    /// Records are missing from its middle.
    Lacks,
    /// Its connection breaks.
    Breaks,
}

/// A typed error after which nothing was stored.
pub(crate) fn trouble(reason: Reason) -> BackendError {
    BackendError {
        reason: reason.into(),
        outcome: Outcome::NotApplied.into(),
        message: "as commanded".to_owned(),
        ..BackendError::default()
    }
}
