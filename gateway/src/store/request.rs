//! Requests to the store.

use std::sync::Arc;

use api_types::revision::Revision;

use crate::store::watch::Filter;
use crate::store::{Everything, ObjectKey};

/// Required freshness of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// At least as new as every write that completed before the request (`resourceVersion` unset).
    Latest,
    /// Any cached state (`resourceVersion=0`).
    Any,
    /// Not older than this revision; waits up to 3 s for it.
    NotOlderThan(Revision),
}

/// The objects of a resource that a request covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All objects.
    All,
    /// The objects of one namespace.
    Namespace(String),
    /// At most one object.
    Object(ObjectKey),
}

/// The state of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListAt {
    /// The newest cached state with this freshness.
    Fresh(Freshness),
    /// Exactly the state at this revision.
    Exact(Revision),
    /// A later page of an earlier list.
    Continue {
        /// The revision of the first page; `None` continues in the latest state (a token with rv
        /// -1).
        revision: Option<Revision>,
        /// Start key of the token, inclusive, as `namespace/name` (a token contains the last key
        /// followed by U+0000). The whole key even if the scope is one namespace.
        start: String,
    },
}

/// A list request.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// The covered objects.
    pub scope: Scope,
    /// The state.
    pub at: ListAt,
    /// Whether later pages may be requested; keeps the snapshot.
    pub paged: bool,
}

/// Start of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchStart {
    /// All existing objects, then [`crate::store::WatchItem::InitialEnd`], then changes.
    Initial(Freshness),
    /// Changes from now on.
    Now(Freshness),
    /// The first change after a revision that the store has issued.
    After(Revision),
}

/// A watch request.
#[derive(Clone)]
pub struct WatchRequest {
    /// The covered objects.
    pub scope: Scope,
    /// Start of the watch.
    pub start: WatchStart,
    /// Selector; objects that start or cease to match appear as created or deleted.
    pub filter: Arc<dyn Filter>,
}

impl WatchRequest {
    /// A watch of all objects in a scope.
    #[must_use]
    pub fn everything(scope: Scope, start: WatchStart) -> Self {
        Self {
            scope,
            start,
            filter: Arc::new(Everything),
        }
    }
}

impl Scope {
    pub(super) fn for_cache(&self) -> watch_cache::Scope {
        match self {
            Self::All => watch_cache::Scope::All,
            Self::Namespace(namespace) => watch_cache::Scope::Namespace(namespace.as_str().into()),
            Self::Object(key) => watch_cache::Scope::Key(key.as_str().into()),
        }
    }
}
