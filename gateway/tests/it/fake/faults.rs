//! What goes wrong on command.

use std::collections::HashMap;

use backend_proto::error::{BackendError, Outcome, Reason};
use backend_proto::v1;

/// Trouble of the fake; the default is none.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Every call of Write and CurrentRevision fails so.
    pub(crate) calls: Option<BackendError>,
    /// Operations on objects with these names are refused.
    pub(crate) rejected: HashMap<String, BackendError>,
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
    pub(crate) max_delivered: Option<i64>,
    /// The only minor version of the protocol that is spoken, if it is not 1.
    pub(crate) minor: Option<u32>,
    /// What it calls its store, if that is another one.
    pub(crate) store_id: Option<String>,
    /// Describe waits until this is over.
    pub(crate) undescribed: bool,
    /// The next answers to CurrentRevision have these revisions, the last first.
    pub(crate) revisions: Vec<i64>,
    /// What lists of things are, instead of what they should be.
    pub(crate) list: Option<ListFault>,
    /// What the next message with events is, instead of what it should be.
    pub(crate) events: Option<fn(&mut v1::WatchResponse)>,
    /// What the next answer to Write is, instead of what it should be.
    pub(crate) written: Option<fn(&mut v1::WriteResponse)>,
}

/// Makes the parts of a list from what they should be.
pub(crate) type ListFault = fn(Vec<v1::ListResponse>) -> Parts;

/// The parts of a list; there may be no end of them.
pub(crate) type Parts = Box<dyn Iterator<Item = v1::ListResponse> + Send>;

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
pub(crate) fn backend_error(reason: Reason) -> BackendError {
    BackendError {
        reason: reason.into(),
        outcome: Outcome::NotApplied.into(),
        message: "as commanded".to_owned(),
        ..BackendError::default()
    }
}
