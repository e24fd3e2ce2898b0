//! Injected faults.

use std::collections::HashMap;

use backend_proto::error::{BackendError, Outcome, Reason};
use backend_proto::v1;

/// Faults of the fake; none by default.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Error of every call of Write and CurrentRevision.
    pub(crate) calls: Option<BackendError>,
    /// Errors of operations on objects with these names.
    pub(crate) rejected: HashMap<String, BackendError>,
    /// Calls of Write and CurrentRevision are neither processed nor responded to.
    pub(crate) silent: bool,
    /// Calls of Write are processed without a response.
    pub(crate) silent_once_stored: bool,
    /// Number of creates that find their name taken.
    pub(crate) taken: usize,
    /// Faults of the next lists of things, the last first.
    pub(crate) short_lists: Vec<Short>,
    /// An unfinished import into an empty store of this epoch.
    pub(crate) importing: Option<i64>,
    /// Watchers receive nothing above this revision.
    pub(crate) max_delivered: Option<i64>,
    /// The only supported minor version of the protocol, if it is not 1.
    pub(crate) minor: Option<u32>,
    /// Reason of a fence.
    pub(crate) fenced: String,
    /// Another store ID.
    pub(crate) store_id: Option<String>,
    /// Describe waits while this is set.
    pub(crate) undescribed: bool,
    /// Revisions of the next responses to CurrentRevision, the last first.
    pub(crate) revisions: Vec<i64>,
    /// Replaces the responses of lists of things.
    pub(crate) list: Option<ListFault>,
    /// Changes the next message with events.
    pub(crate) events: Option<fn(&mut v1::WatchResponse)>,
    /// Changes the next response to Write.
    pub(crate) written: Option<fn(&mut v1::WriteResponse)>,
}

/// Changes the parts of a list.
pub(crate) type ListFault = fn(Vec<v1::ListResponse>) -> Parts;

/// The parts of a list, possibly without end.
pub(crate) type Parts = Box<dyn Iterator<Item = v1::ListResponse> + Send>;

/// Ways in which a list is truncated.
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
