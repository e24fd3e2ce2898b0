//! The changes of all kinds.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::select_all;
use gateway::store::{
    EventKind, Freshness, Scope, Store, StoreError, Stored, WatchItem, WatchRequest, WatchStart,
    Watcher,
};

use super::kinds::Kinds;

/// Largest number of changes of one kind that are taken at a time.
const BATCH: usize = 256;

/// One watch per kind.
pub(super) struct Sources(Vec<Watcher>);

/// A change of an object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Position of the kind.
    pub(super) kind: usize,
    /// The object; its last state if it is gone.
    pub(super) object: Arc<Stored>,
    /// Whether the object was deleted.
    pub(super) gone: bool,
}

impl Sources {
    /// Begins to watch all kinds.
    ///
    /// # Errors
    /// If the store is not available.
    pub(super) async fn open(store: &Store, kinds: &Kinds) -> Result<Self, StoreError> {
        let mut watchers = Vec::new();
        for kind in kinds.iter() {
            let start = WatchStart::Initial(Freshness::Any);
            let request = WatchRequest::everything(Scope::All, start);
            watchers.push(store.watch(kind.id(), request).await?);
        }
        Ok(Self(watchers))
    }

    /// Visits the existing objects.
    ///
    /// # Errors
    /// If a watch ends.
    pub(super) async fn initial(
        &mut self,
        mut visit: impl FnMut(Change),
    ) -> Result<(), StoreError> {
        for (kind, watcher) in self.0.iter_mut().enumerate() {
            let mut complete = false;
            while !complete {
                let items = ended(watcher.next_batch(BATCH).await)?;
                complete = items
                    .iter()
                    .any(|item| matches!(item, WatchItem::InitialEnd(_)));
                changes(kind, items).for_each(&mut visit);
            }
        }
        Ok(())
    }

    /// Waits for the next changes.
    ///
    /// # Errors
    /// If a watch ends: the caches were replaced, or this reader fell behind.
    pub(super) async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        let waiting = self.0.iter_mut().map(|it| it.next_batch(BATCH).boxed());
        let (items, kind, _) = select_all(waiting).await;
        Ok(changes(kind, ended(items)?).collect())
    }

    /// The changes that have arrived.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) fn drain(&mut self) -> Result<Vec<Change>, StoreError> {
        let mut drained = Vec::new();
        for (kind, watcher) in self.0.iter_mut().enumerate() {
            while let Some(items) = watcher.next_batch(BATCH).now_or_never() {
                drained.extend(changes(kind, ended(items)?));
            }
        }
        Ok(drained)
    }
}

/// A watch that has ended was cut.
fn ended(items: Option<Result<Vec<WatchItem>, StoreError>>) -> Result<Vec<WatchItem>, StoreError> {
    items.unwrap_or(Err(StoreError::EpochChanged))
}

fn changes(kind: usize, items: Vec<WatchItem>) -> impl Iterator<Item = Change> {
    items.into_iter().filter_map(move |item| {
        let (object, gone) = match item {
            WatchItem::Initial(object) => (object, false),
            WatchItem::Event { kind, object, .. } => (object, kind == EventKind::Deleted),
            WatchItem::InitialEnd(_) => return None,
        };
        Some(Change { kind, object, gone })
    })
}
