//! Following changes.

use std::sync::Arc;

use api_types::revision::Revision;

use crate::store::{StoreError, Stored};

/// Which objects a watcher wants to see. Must be a pure function of the object.
pub trait Filter: Send + Sync + 'static {
    /// Whether the object is selected.
    fn matches(&self, object: &Stored) -> bool;

    /// Equalities that every selected object meets (`a=b` in a label or field selector). Only a
    /// hint for waking: changes of objects that fail one do not wake the watcher.
    fn equalities(&self) -> Vec<Equality> {
        Vec::new()
    }
}

/// Selects every object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everything;

/// `key = value`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Equality {
    /// A label has this value.
    Label(String, String),
    /// A selectable field has this value.
    Field(String, String),
}

/// What a watcher is told of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was created, or began to match.
    Added,
    /// It matched and still does.
    Modified,
    /// It was deleted, or ceased to match.
    Deleted,
}

/// One thing a watcher hands out.
#[derive(Clone, Debug)]
pub enum WatchItem {
    /// An object that existed when the watch began, in key order.
    Initial(Arc<Stored>),
    /// All initial objects were handed out; they were the state at this revision.
    InitialEnd(Revision),
    /// A change.
    Event {
        /// What happened, as this watcher's selector sees it.
        kind: EventKind,
        /// The new object; for `Deleted` its last (selected) state with `resourceVersion` set to
        /// `revision`. The same `Arc` for all watchers, so that its renderings are shared.
        object: Arc<Stored>,
        /// Revision of the change; greater than that of every earlier item.
        revision: Revision,
    },
}

/// A watch under way. Dropping it ends it.
#[derive(Debug)]
pub struct Watcher {
    _private: (),
}

impl Watcher {
    /// Waits for the next items, at most `max`, at least one. After an error: `None`.
    ///
    /// Cancel safe: an item is lost only once it was returned.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if this watcher fell behind the history,
    /// [`StoreError::EpochChanged`] if the backend lost commits. Nothing follows an error.
    pub async fn next_batch(&mut self, max: usize) -> Option<Result<Vec<WatchItem>, StoreError>> {
        let _ = max;
        None
    }

    /// The revision up to which everything has been handed out, for a bookmark: `None` while
    /// items wait, or if it is not above where the watch started (semantics 6.10.3).
    #[must_use]
    pub fn progress(&self) -> Option<Revision> {
        None
    }
}

impl Filter for Everything {
    fn matches(&self, _object: &Stored) -> bool {
        true
    }
}
