//! Stored objects: reads, watches and writes.
//!
//! One in-memory cache per resource serves reads and watches. A single stream of changes from the
//! backend updates the caches, also with the writes of this server. A consistent read gets the
//! current revision from the backend (concurrent readers share one call), and waits until the cache
//! reaches it.
//!
//! The store does not depend on schemas: a [`Decoder`] converts stored bytes to a [`Head`].

mod object;
mod slot;

mod decoder;
mod error;
mod load;
mod metrics;

mod inner;

mod request;

mod listing;
mod read;
mod watch;
mod write;

mod phase;
mod sync;

pub use crate::backend::{Action, Cause, Index, ObjectKey, Origin, ResourceId, WriteOp};
pub use decoder::{DecodeError, Decoded, Decoder, Head};
pub use error::StoreError;
pub use inner::StoreConfig;
pub use listing::{Listing, ListingIter};
pub use object::{EncodedCache, Labels, Stored, set_resource_version};
pub use phase::Phase;
pub use request::{Freshness, ListAt, ListRequest, Scope, WatchRequest, WatchStart};
pub use sync::StoreTask;
pub use watch::{Equality, EventKind, Everything, Filter, WatchItem, Watcher};
pub use watch_cache::{Limits, Usage};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot, watch as signal};

use crate::backend::{Backend, Endpoint, Verdict};
use crate::compute::Pool;
use crate::store::inner::Inner;
use crate::store::load::Loader;
use crate::store::metrics::Metrics;
use crate::store::slot::Slot;
use crate::store::sync::Reload;

/// Outcome of a change.
pub type WriteOutcome = Verdict<Arc<Stored>>;

/// Handle to the stored objects; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
    reloads: mpsc::Sender<Reload>,
    compute: Pool,
}

impl Store {
    /// A store, which serves once its task has loaded the objects. Work on large objects runs on
    /// `compute`.
    #[must_use]
    pub fn new(
        endpoint: &Endpoint,
        decoder: Arc<dyn Decoder>,
        config: StoreConfig,
        compute: Pool,
    ) -> (Self, StoreTask) {
        let (backend, tasks) = Backend::new(endpoint);
        let (reloads, receiver) = mpsc::channel(1);
        let inner = Arc::new(Inner {
            backend,
            loader: Arc::new(Loader::new(decoder)),
            config,
            walks: compute.walks().clone(),
            generation: ArcSwapOption::empty(),
            phase: signal::Sender::new(Phase::Initializing { last_error: None }),
            value_bytes: AtomicU64::new(0),
            fenced: signal::Sender::new(false),
            metrics: Metrics::default(),
        });
        let task = StoreTask {
            inner: Arc::clone(&inner),
            backend: tasks,
            reloads: receiver,
        };
        let store = Self {
            inner,
            reloads,
            compute,
        };
        (store, task)
    }

    /// One object, or `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if `freshness` needs the backend and it does not respond,
    /// [`StoreError::FutureRevision`] if the requested revision is not reached within 3 s,
    /// [`StoreError::Unreadable`] if the object cannot be decoded,
    /// [`StoreError::Initializing`] before the first load.
    pub async fn get(
        &self,
        resource: &ResourceId,
        key: &ObjectKey,
        freshness: Freshness,
    ) -> Result<Option<Arc<Stored>>, StoreError> {
        let generation = self.inner.fresh(freshness).await?;
        let found = read::cache(&generation, resource)?.get(key.as_str());
        found.map(Slot::into_object).transpose()
    }

    /// A snapshot of the objects in a scope.
    ///
    /// # Errors
    /// As [`Store::get`], for any object in the scope; [`StoreError::Compacted`] if the history no
    /// longer contains an exact revision.
    pub async fn list(
        &self,
        resource: &ResourceId,
        request: ListRequest,
    ) -> Result<Listing, StoreError> {
        self.inner.list(resource, request).await
    }

    /// Follows the changes in a scope.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn watch(
        &self,
        resource: &ResourceId,
        request: WatchRequest,
    ) -> Result<Watcher, StoreError> {
        self.inner.watch(resource, request).await
    }

    /// Applies one change, at most once: a write with an unknown outcome is retried under its op
    /// id.
    ///
    /// # Errors
    /// [`StoreError::Initializing`] before the first load;
    /// [`StoreError::Unavailable`] at once while the change stream is broken;
    /// [`StoreError::OutcomeUnknown`] if the change may have been stored; after every other error,
    /// nothing was stored.
    pub async fn write(&self, op: WriteOp) -> Result<WriteOutcome, StoreError> {
        self.inner.now()?;
        self.inner.expect_connected()?;
        let compute = self.compute.of(&op.origin.user);
        let stored_bytes = self.inner.cached_bytes(&op);
        let verdict = self
            .inner
            .backend
            .write(op, stored_bytes)
            .await
            .map_err(StoreError::write)?;
        write::outcome(&compute, verdict, &self.inner.loader).await
    }

    /// The thread pool for work on large objects.
    #[must_use]
    pub const fn compute(&self) -> &Pool {
        &self.compute
    }

    /// Serves another set of resources, and returns when they are loaded. `changed` lists served
    /// resources whose schema changed: they are loaded again, and their watches end.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store has stopped or had to reload all objects.
    pub async fn reload(
        &self,
        decoder: Arc<dyn Decoder>,
        changed: Vec<ResourceId>,
    ) -> Result<(), StoreError> {
        let (done, reloaded) = oneshot::channel();
        let stopped = || StoreError::unavailable("resources are being reloaded".to_owned());
        let reload = Reload {
            decoder,
            changed,
            done,
        };
        self.reloads.send(reload).await.map_err(|_| stopped())?;
        reloaded.await.map_err(|_| stopped())
    }

    /// The phase of the store, and its changes.
    #[must_use]
    pub fn phase(&self) -> signal::Receiver<Phase> {
        self.inner.phase.subscribe()
    }

    /// The number of cached objects of a resource; `None` before the first load and for resources
    /// that are not served.
    #[must_use]
    pub fn count(&self, resource: &ResourceId) -> Option<usize> {
        let generation = self.inner.generation.load();
        let cache = generation.as_ref()?.get(resource)?;
        Some(cache.snapshot().len())
    }

    /// Whether a fence rejects all writes, and its changes. The driver is asked once a second.
    #[must_use]
    pub fn fenced(&self) -> signal::Receiver<bool> {
        self.inner.fenced.subscribe()
    }

    /// Sizes of the caches, for metrics.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.inner
            .generation
            .load()
            .as_ref()
            .map(|it| it.usage())
            .unwrap_or_default()
    }

    /// Registers the store's metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.backend.requests().register(registry);
        self.inner.metrics.register(registry);
    }

    /// Measures the gauges among them.
    pub fn measure(&self) {
        if let Some(generation) = self.inner.generation.load().as_deref() {
            let up_to = inner::frontier(generation);
            self.inner.metrics.measure(generation.items(), up_to);
        }
        self.inner.metrics.set_fenced(*self.inner.fenced.borrow());
    }

    /// Largest value that the driver accepts, bytes; `None` before the first load, or if it reports
    /// none.
    #[must_use]
    pub fn value_limit(&self) -> Option<u64> {
        Some(self.inner.value_bytes.load(Ordering::Relaxed)).filter(|limit| *limit > 0)
    }
}
