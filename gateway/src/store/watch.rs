//! Watches.

use std::sync::Arc;

use api_types::revision::Revision;
use prometheus_client::metrics::counter::Counter;
use watch_cache::{Attribute, Cursor, CursorError, Delivery, Interest, Iter, Kind, Scope, Select};

use crate::compute::Turn;
use crate::store::slot::{Slot, revision};
use crate::store::{StoreError, Stored};

/// The objects that a watcher selects. Must be a pure function of the object.
pub trait Filter: Send + Sync + 'static {
    /// Whether the object is selected.
    fn matches(&self, object: &Stored) -> bool;

    /// Equalities that every selected object satisfies (`a=b` in a label or field selector). Only a
    /// hint: changes of objects that fail one do not wake the watcher.
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

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The object was created, or started to match.
    Added,
    /// The object matched before and after the change.
    Modified,
    /// The object was deleted, or ceased to match.
    Deleted,
}

/// An item of a watch.
#[derive(Clone, Debug)]
pub enum WatchItem {
    /// An object that existed at the start of the watch, in key order.
    Initial(Arc<Stored>),
    /// End of the initial objects, which were the state at this revision.
    InitialEnd(Revision),
    /// A change.
    Event {
        /// The kind, relative to the selector of this watcher.
        kind: EventKind,
        /// The new object; for `Deleted` its last selected state with `resourceVersion` set to
        /// `revision`. All watchers share the same `Arc`, and so its cached encodings.
        object: Arc<Stored>,
        /// Revision of the change; greater than that of every earlier item.
        revision: Revision,
    },
}

impl WatchItem {
    /// Bytes of the object in the item.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Initial(object) | Self::Event { object, .. } => object.bytes().len(),
            Self::InitialEnd(_) => 0,
        }
    }
}

/// An open watch; ends when dropped.
pub struct Watcher {
    cursor: Cursor<Slot>,
    /// Remaining initial objects.
    initial: Option<Iter<Slot>>,
    /// Turn of the iteration over them.
    turn: Turn,
    chosen: Chosen,
    /// Revision after which changes start.
    started: Revision,
    /// Counts the end of a watch that fell behind.
    terminated: Counter,
    ended: bool,
}

/// Adapter of a filter for the cache.
struct Chosen(Arc<dyn Filter>);

impl Watcher {
    pub(super) fn new(
        cursor: Cursor<Slot>,
        initial: Option<Iter<Slot>>,
        turn: Turn,
        filter: Arc<dyn Filter>,
        started: Revision,
    ) -> Self {
        Self {
            cursor,
            initial,
            turn,
            chosen: Chosen(filter),
            started,
            terminated: Counter::default(),
            ended: false,
        }
    }

    /// Counts its end in `terminated` if it falls behind the history.
    pub(super) fn counting_end(self, terminated: Counter) -> Self {
        Self { terminated, ..self }
    }

    /// Waits for the next items, between one and `max`. After an error: `None`.
    ///
    /// Cancel safe: a cancelled call loses no item.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if this watcher fell behind the history,
    /// [`StoreError::Unreadable`] if it reached an undecodable object, [`StoreError::EpochChanged`]
    /// if the backend lost commits. Nothing follows an error.
    pub async fn next_batch(&mut self, max: usize) -> Option<Result<Vec<WatchItem>, StoreError>> {
        if self.ended {
            return None;
        }
        if self.initial.is_some() {
            self.turn.start();
        }
        while self.initial.is_some() {
            let items = self.next_initial(max.max(1));
            self.turn.end();
            match items {
                Ok(items) if items.is_empty() => {}
                items => {
                    self.ended = items.is_err();
                    return Some(items);
                }
            }
            self.turn.renew().await;
        }
        Some(match self.cursor.next(&self.chosen, max).await {
            Ok(delivery) => delivery.into_iter().map(WatchItem::try_from).collect(),
            Err(cut) => Err(self.cut(cut)),
        })
        .inspect(|items| self.ended = items.is_err())
    }

    /// The revision up to which everything was delivered, for a bookmark. `None` while items wait
    /// or are not announced yet, or if the revision is not above the start of the watch. Call it
    /// when [`Watcher::next_batch`] waits.
    #[must_use]
    pub fn progress(&self) -> Option<Revision> {
        if self.ended || self.initial.is_some() {
            return None;
        }
        let progress = Revision::new(self.cursor.progress()?)?;
        (progress > self.started).then_some(progress)
    }

    /// The next initial objects, and after the last of them the end mark. None if no object was
    /// found within a turn.
    fn next_initial(&mut self, max: usize) -> Result<Vec<WatchItem>, StoreError> {
        let mut items = Vec::new();
        let Some(walk) = &mut self.initial else {
            return Ok(items);
        };
        while items.len() < max {
            let Some(slot) = walk.next() else {
                self.initial = None;
                items.push(WatchItem::InitialEnd(self.started));
                break;
            };
            let object = slot.into_object()?;
            if self.chosen.0.matches(&object) {
                items.push(WatchItem::Initial(object));
            }
            if self.turn.spend(0) {
                break;
            }
        }
        Ok(items)
    }

    fn cut(&self, cut: CursorError) -> StoreError {
        match cut {
            CursorError::Behind { oldest } => {
                self.terminated.inc();
                StoreError::Compacted {
                    requested: self.started,
                    oldest: revision(oldest),
                }
            }
            CursorError::Closed => StoreError::EpochChanged,
        }
    }
}

impl Filter for Everything {
    fn matches(&self, _object: &Stored) -> bool {
        true
    }
}

impl Select<Slot> for Chosen {
    fn matches(&self, slot: &Slot) -> bool {
        match slot {
            Slot::Readable(object) => self.0.matches(object),
            // Whether it matches is unknown, so its watchers get an error instead of skipping it.
            Slot::Unreadable(_) => true,
        }
    }
}

/// The changes that wake a watcher.
pub(super) fn interest(scope: Scope, filter: &dyn Filter) -> Interest {
    // The index uses one equality; a field is probably rarer than a label.
    let mut equalities = filter.equalities();
    let field = equalities
        .iter()
        .position(|it| matches!(it, Equality::Field(..)));
    let chosen = match field {
        Some(at) => Some(equalities.swap_remove(at)),
        None => equalities.pop(),
    };
    let equality = chosen.map(|equality| match equality {
        Equality::Label(key, value) => (Attribute::Label, key.into(), value.into()),
        Equality::Field(key, value) => (Attribute::Field, key.into(), value.into()),
    });
    Interest { scope, equality }
}

impl TryFrom<Delivery<Slot>> for WatchItem {
    type Error = StoreError;

    fn try_from(delivery: Delivery<Slot>) -> Result<Self, StoreError> {
        let kind = match delivery.kind {
            Kind::Added => EventKind::Added,
            Kind::Modified => EventKind::Modified,
            Kind::Deleted => EventKind::Deleted,
        };
        Ok(Self::Event {
            kind,
            object: delivery.item.into_object()?,
            revision: revision(delivery.revision),
        })
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cursor.fmt(out)
    }
}
