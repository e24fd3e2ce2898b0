//! What is asked of the store.

use std::sync::Arc;

use api_types::revision::Revision;

use crate::store::watch::Filter;
use crate::store::{Everything, ObjectKey};

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// At least as new as every write that completed before the request (RV unset).
    Latest,
    /// Whatever is at hand (RV `0`).
    Any,
    /// Not older than this revision; waits up to 3 s for it.
    NotOlderThan(Revision),
}

/// Which objects of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those in one namespace.
    Namespace(String),
    /// At most one.
    Object(ObjectKey),
}

/// Which state a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListAt {
    /// The newest state that is at least this fresh.
    Fresh(Freshness),
    /// Exactly the state at this revision.
    Exact(Revision),
    /// A later page of an earlier list.
    Continue {
        /// The first page's revision; `None` continues in the latest state (a token with rv -1).
        revision: Option<Revision>,
        /// Start key of the token, inclusive, as `namespace/name` (a token holds the last key
        /// followed by U+0000). Must be the whole key even if the scope is one namespace.
        start: String,
    },
}

/// A list.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// Which objects.
    pub scope: Scope,
    /// Which state.
    pub at: ListAt,
    /// Whether later pages of this list may be asked for; keeps its snapshot at hand.
    pub paged: bool,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchStart {
    /// With all objects as they are, then [`crate::store::WatchItem::InitialEnd`], then changes.
    Initial(Freshness),
    /// With the changes from now on.
    Now(Freshness),
    /// With the first change after a revision, which the store must have issued.
    After(Revision),
}

/// A watch.
#[derive(Clone)]
pub struct WatchRequest {
    /// Which objects.
    pub scope: Scope,
    /// Where to start.
    pub start: WatchStart,
    /// Which of them; objects that begin or cease to match appear as created or deleted.
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
