//! Reads: their freshness and state.

use std::sync::Arc;
use std::time::Duration;

use api_types::revision::Revision;
use tokio::time::Instant;
use watch_cache::{AtError, Cache, Snapshot};

use crate::store::inner::{Generation, Inner, frontier};
use crate::store::slot::{self, Slot};
use crate::store::watch::interest;
use crate::store::{
    Freshness, ListAt, ListRequest, Listing, Phase, ResourceId, StoreError, WatchRequest,
    WatchStart, Watcher,
};

/// Longest wait for the cache to reach a revision: kube-apiserver's `blockTimeout`.
const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(3);

impl Inner {
    /// The caches once they satisfy the requested freshness.
    pub(super) async fn fresh(&self, freshness: Freshness) -> Result<Arc<Generation>, StoreError> {
        match freshness {
            Freshness::Any => self.now(),
            Freshness::NotOlderThan(revision) => {
                self.expect_current(revision)?;
                self.reached(revision).await
            }
            Freshness::Latest => {
                self.now()?;
                self.expect_connected()?;
                let current = self
                    .backend
                    .current_revision()
                    .await
                    .map_err(StoreError::read)?;
                self.reached(current).await.map_err(|error| match error {
                    // The revision exists in the backend, but has not arrived here.
                    StoreError::FutureRevision { .. } => StoreError::Timeout,
                    other => other,
                })
            }
        }
    }

    /// Rejects a revision that an earlier release issued: it is larger than current ones, but
    /// expired, not in the future.
    fn expect_current(&self, revision: Revision) -> Result<(), StoreError> {
        if !revision.is_of_a_former_store() {
            return Ok(());
        }
        Err(StoreError::Compacted {
            requested: revision,
            oldest: frontier(&*self.now()?),
        })
    }

    /// Rejects a request that needs the backend while readiness fails for a broken change stream:
    /// it would wait for a backend that does not respond. The stream reconnects on its own.
    pub(super) fn expect_connected(&self) -> Result<(), StoreError> {
        let phase = self.phase.borrow();
        if !matches!(*phase, Phase::Stale { .. }) {
            return Ok(());
        }
        phase.ready().map_err(StoreError::unavailable)
    }

    /// The caches in their current state.
    pub(super) fn now(&self) -> Result<Arc<Generation>, StoreError> {
        let generation = self.generation.load_full();
        generation.ok_or_else(|| match &*self.phase.borrow() {
            Phase::Retired { cause } => StoreError::unavailable(cause.clone()),
            _ => StoreError::initializing(),
        })
    }

    /// Rejects a watch from a revision of a retired store with 410: after 429 or 503, a client could
    /// repeat it at the server that has taken over, where the revision is not reached for long.
    fn expect_valid_start(&self, start: &WatchStart) -> Result<(), StoreError> {
        let from_revision = match start {
            WatchStart::After(_) => true,
            WatchStart::Initial(freshness) | WatchStart::Now(freshness) => {
                matches!(freshness, Freshness::NotOlderThan(_))
            }
        };
        let retired = matches!(*self.phase.borrow(), Phase::Retired { .. });
        if from_revision && retired {
            return Err(StoreError::EpochChanged);
        }
        Ok(())
    }

    /// Waits until the caches, or those that replace them meanwhile, reach a revision.
    async fn reached(&self, revision: Revision) -> Result<Arc<Generation>, StoreError> {
        let deadline = Instant::now() + FRESHNESS_TIMEOUT;
        loop {
            let generation = self.now()?;
            let reached = generation.frontier().reached(revision.get());
            match tokio::time::timeout_at(deadline, reached).await {
                Ok(Ok(())) => return Ok(generation),
                // Replaced: the new caches exist or are being loaded.
                Ok(Err(_)) => tokio::task::yield_now().await,
                Err(_) => return Err(self.not_reached(revision, &generation)),
            }
        }
    }

    fn not_reached(&self, requested: Revision, generation: &Generation) -> StoreError {
        match &*self.phase.borrow() {
            Phase::Stale { cause, .. } | Phase::Resyncing { cause } | Phase::Retired { cause } => {
                StoreError::unavailable(cause.clone())
            }
            Phase::Ready | Phase::Initializing { .. } | Phase::Damaged { .. } => {
                StoreError::FutureRevision {
                    requested,
                    current: frontier(generation),
                    start_of_watch: false,
                }
            }
        }
    }

    /// The caches once they contain an exact revision, if it exists.
    async fn exact(&self, requested: Revision) -> Result<Arc<Generation>, StoreError> {
        self.expect_current(requested)?;
        let generation = self.now()?;
        if frontier(&generation) >= requested {
            return Ok(generation);
        }
        self.expect_connected()?;
        let current = self
            .backend
            .current_revision()
            .await
            .map_err(StoreError::read)?;
        if requested > current {
            return Err(StoreError::FutureRevision {
                requested,
                current,
                start_of_watch: false,
            });
        }
        self.reached(requested).await
    }

    /// Rejects the start of a watch at a revision that was not issued: such a watch would skip
    /// changes until the store reaches the revision. kube-apiserver accepts it, because etcd is
    /// seldom restored (docs/adr/0013-revisions-below-2-53.md); here only revisions that no store
    /// can issue are accepted. The backend is read only if the caches have not reached the
    /// revision.
    async fn expect_issued(&self, requested: Revision) -> Result<(), StoreError> {
        let reached = frontier(&*self.now()?) >= requested;
        if reached || requested.is_too_large_for_a_store() {
            return Ok(());
        }
        self.expect_connected()?;
        let current = self.backend.current_revision().await;
        let current = current.map_err(StoreError::read)?;
        if requested > current {
            return Err(StoreError::FutureRevision {
                requested,
                current,
                start_of_watch: true,
            });
        }
        Ok(())
    }

    pub(super) async fn list(
        &self,
        resource: &ResourceId,
        request: ListRequest,
    ) -> Result<Listing, StoreError> {
        let (exact, freshness, start) = match request.at {
            ListAt::Fresh(freshness) => (None, freshness, None),
            ListAt::Exact(revision) => (Some(revision), Freshness::Any, None),
            ListAt::Continue { revision, start } => (revision, Freshness::Latest, Some(start)),
        };
        let snapshot = match exact {
            Some(revision) => {
                let cache = cache(&*self.exact(revision).await?, resource)?;
                cache
                    .at(revision.get())
                    .map_err(|error| StoreError::at(revision, error))?
            }
            None => {
                let cache = cache(&*self.fresh(freshness).await?, resource)?;
                let snapshot = cache.snapshot();
                if request.paged {
                    cache.pin(&snapshot);
                }
                snapshot
            }
        };
        let revision = slot::revision(snapshot.revision());
        let scope = request.scope.for_cache();
        self.expect_readable(&snapshot, &scope).await?;
        Ok(Listing {
            snapshot,
            revision,
            scope,
            start,
        })
    }

    /// Fails if the list contains an undecodable object: a list is complete or an error.
    async fn expect_readable(
        &self,
        snapshot: &Snapshot<Slot>,
        scope: &watch_cache::Scope,
    ) -> Result<(), StoreError> {
        if !self.loader.met_unreadable() {
            return Ok(());
        }
        let mut turn = self.walks.begin();
        for object in snapshot.iter(scope.clone(), std::ops::Bound::Unbounded) {
            if let Some(error) = object.error() {
                return Err(error);
            }
            turn.pass(0).await;
        }
        Ok(())
    }

    pub(super) async fn watch(
        &self,
        resource: &ResourceId,
        request: WatchRequest,
    ) -> Result<Watcher, StoreError> {
        self.expect_valid_start(&request.start)?;
        let scope = request.scope.for_cache();
        let interest = interest(scope.clone(), &*request.filter);
        let (after, cache, initial) = match request.start {
            WatchStart::After(revision) => {
                self.expect_current(revision)?;
                self.expect_issued(revision).await?;
                (revision, cache(&*self.now()?, resource)?, None)
            }
            WatchStart::Initial(freshness) | WatchStart::Now(freshness) => {
                let cache = cache(&*self.fresh(freshness).await?, resource)?;
                let snapshot = cache.snapshot();
                let initial = matches!(request.start, WatchStart::Initial(_));
                if initial {
                    self.expect_readable(&snapshot, &scope).await?;
                }
                let walk = initial.then(|| snapshot.iter(scope, std::ops::Bound::Unbounded));
                (slot::revision(snapshot.revision()), cache, walk)
            }
        };
        let cursor = cache
            .follow(after.get(), interest)
            .map_err(|error| StoreError::at(after, error))?;
        let turn = self.walks.begin();
        let watcher = Watcher::new(cursor, initial, turn, request.filter, after);
        Ok(watcher.counting_end(self.metrics.terminated(resource)))
    }
}

pub(super) fn cache(
    generation: &Generation,
    resource: &ResourceId,
) -> Result<Arc<Cache<Slot>>, StoreError> {
    generation
        .get(resource)
        .ok_or_else(|| StoreError::UnknownResource(resource.clone()))
}

impl StoreError {
    fn at(requested: Revision, error: AtError) -> Self {
        match error {
            AtError::Compacted { oldest } => Self::Compacted {
                requested,
                oldest: slot::revision(oldest),
            },
            AtError::Future { current } => Self::FutureRevision {
                requested,
                current: slot::revision(current),
                start_of_watch: false,
            },
        }
    }
}
