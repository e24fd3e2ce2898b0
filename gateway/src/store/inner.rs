//! What all parts of the store share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use api_types::revision::Revision;
use arc_swap::ArcSwapOption;
use tokio::sync::watch as signal;
use watch_cache::Limits;

use crate::backend::Backend;
use crate::compute::Walks;
use crate::store::load::Loader;
use crate::store::slot::{Slot, revision};
use crate::store::{Phase, ResourceId, WriteOp};

/// Objects that are loaded may be this many times as large as the caches are to be: the caches grow
/// with what is written, and a server must start on what it wrote. A driver that lists without end
/// is cut there.
const LOAD_FACTOR: u64 = 4;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Memory for history and for all.
    pub limits: Limits,
    /// Changes of the past that are read at the start, so that watches from before can be resumed.
    pub replay: u64,
}

/// One set of caches: dropped as a whole when the backend changed its epoch.
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
    /// Largest value that the driver takes; 0 if it did not say.
    pub(super) value_bytes: AtomicU64,
}

/// The revision up to which the caches are complete.
pub(super) fn frontier(generation: &Generation) -> Revision {
    revision(generation.frontier().up_to_revision())
}

impl Inner {
    /// How large the object is that an operation changes, as far as it is known.
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
    /// Most bytes of the objects that are loaded at once.
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
