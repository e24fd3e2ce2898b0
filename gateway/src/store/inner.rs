//! State that all parts of the store share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use api_types::revision::Revision;
use arc_swap::ArcSwapOption;
use tokio::sync::watch as signal;
use watch_cache::Limits;

use crate::backend::Backend;
use crate::compute::Walks;
use crate::store::load::Loader;
use crate::store::metrics::Metrics;
use crate::store::slot::{Slot, revision};
use crate::store::{Phase, ResourceId, WriteOp};

/// Limit of a load, as a multiple of the size of the caches. Writes can grow the caches beyond
/// their size, and the server must be able to load them again. The limit ends a list that never
/// completes.
const LOAD_FACTOR: u64 = 4;

/// Sizes of the caches and their history.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Memory of the history, and of objects and history together.
    pub limits: Limits,
    /// Past changes that are read at the start, so that watches from before it can be resumed.
    pub replay: u64,
}

/// One set of caches, which is replaced as a whole.
pub(super) type Generation = watch_cache::Group<ResourceId, Slot>;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) backend: Backend,
    pub(super) loader: Arc<Loader>,
    pub(super) config: StoreConfig,
    pub(super) walks: Walks,
    /// `None` until loaded.
    pub(super) generation: ArcSwapOption<Generation>,
    pub(super) phase: signal::Sender<Phase>,
    /// Largest value that the driver accepts; 0 if it reports none.
    pub(super) value_bytes: AtomicU64,
    /// Whether a fence rejects all writes, as last reported by the driver.
    pub(super) fenced: signal::Sender<bool>,
    pub(super) metrics: Metrics,
}

/// The revision up to which the caches are complete.
pub(super) fn frontier(generation: &Generation) -> Revision {
    revision(generation.frontier().up_to_revision())
}

impl Inner {
    /// Records whether a fence rejects writes.
    pub(super) fn note_fence(&self, fenced: bool) {
        let changed = self.fenced.send_if_modified(|known| {
            let changed = *known != fenced;
            *known = fenced;
            changed
        });
        match (changed, fenced) {
            (true, true) => tracing::warn!("a fence rejects all writes; reads are served"),
            (true, false) => tracing::info!("the fence is lifted, writes are served"),
            (false, _) => {}
        }
    }

    /// Size of the cached object that an operation changes, bytes; 0 if there is none.
    pub(super) fn cached_bytes(&self, op: &WriteOp) -> usize {
        let generation = self.generation.load();
        let cache = generation.as_ref().and_then(|it| it.get(&op.resource));
        let cached = cache.and_then(|cache| cache.get(op.key.as_str()));
        match cached {
            Some(Slot::Readable(object)) => object.bytes().len(),
            Some(Slot::Unreadable(_)) | None => 0,
        }
    }
}

impl StoreConfig {
    /// Largest total of the objects of one load, bytes.
    pub(super) fn load_bytes(&self) -> u64 {
        (self.limits.total as u64).saturating_mul(LOAD_FACTOR)
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            limits: Limits {
                history: 32 << 20,
                total: 1 << 30,
            },
            replay: 10_000,
        }
    }
}
