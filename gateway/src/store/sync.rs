//! Keeping the caches in step with the backend: load, replay, follow, resume.

mod follow;
mod load;

mod apply;
mod list;

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{BackendTasks, Error, Reason};
use crate::store::inner::Inner;
use crate::store::{Decoder, Phase, ResourceId};

/// The first and the longest pause between attempts to reach the backend.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// The pause before damaged data is read again. An operator repairs it, which takes longer.
const DAMAGE_PAUSE: Duration = Duration::from_secs(10);

/// The background work of a [`crate::store::Store`], which serves nothing without it.
#[derive(Debug)]
pub struct StoreTask {
    pub(super) inner: Arc<Inner>,
    pub(super) backend: BackendTasks,
    pub(super) reloads: mpsc::Receiver<Reload>,
}

/// A new set of resources.
pub(super) struct Reload {
    pub(super) decoder: Arc<dyn Decoder>,
    /// Resources to load again, although they were served before.
    pub(super) changed: Vec<ResourceId>,
    pub(super) done: oneshot::Sender<()>,
}

/// The reason for a reload of the caches.
enum ResyncReason {
    /// Changes that the caches lack were compacted. The caches serve until new ones are loaded.
    Behind(String),
    /// Commits may be missing: the caches must not serve any longer.
    EpochChanged(String),
    /// The store is retired: the caches must not serve any longer.
    Retired(Error),
}

/// Pauses between attempts to reach the backend.
fn backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LAST_PAUSE)
}

impl StoreTask {
    /// Runs until cancelled; then ends all watches, and completes the writes in flight.
    pub async fn run(self, cancel: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.backend.run(cancel.clone()));
        tasks.spawn(sync(Arc::clone(&self.inner), self.reloads, cancel));
        while tasks.join_next().await.is_some() {}
        if let Some(generation) = self.inner.generation.swap(None) {
            generation.close();
        }
    }
}

/// Loads the caches, follows the change stream until they must be replaced, and repeats.
async fn sync(inner: Arc<Inner>, mut reloads: mpsc::Receiver<Reload>, cancel: CancellationToken) {
    let mut identity = inner.backend.identity();
    let mut pauses = backoff();
    loop {
        let began = Instant::now();
        let loading = load::load(&inner, &mut identity);
        let loaded = tokio::select! {
            loaded = loading => loaded,
            () = cancel.cancelled() => return,
        };
        let (generation, stream, header) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                // Attempts are frequent: log changes of the error only.
                let changed = inner.loading_failed(&error);
                if error.reason == Reason::Corrupt {
                    if changed {
                        tracing::error!(%error, "objects cannot be loaded");
                    }
                    pauses = Backoff::new(DAMAGE_PAUSE, DAMAGE_PAUSE);
                } else if changed {
                    tracing::warn!(%error, "objects cannot be loaded, retrying");
                }
                tokio::select! {
                    () = pauses.pause() => continue,
                    () = cancel.cancelled() => return,
                }
            }
        };
        pauses = backoff();
        let usage = generation.usage();
        let (objects, bytes, milliseconds) = (
            usage.items,
            usage.current,
            u64::try_from(began.elapsed().as_millis()).unwrap_or(0),
        );
        tracing::info!(objects, bytes, milliseconds, "loaded objects");
        if let Some(replaced) = inner.generation.swap(Some(Arc::clone(&generation))) {
            replaced.close();
        }
        inner.backend.admit(&header);
        inner.phase.send_replace(Phase::Ready);
        let follower = follow::Follower::new(&inner, &generation);
        let followed = follower.run(stream, &mut identity, &mut reloads, &cancel);
        let (cause, invalid) = match followed.await {
            None => return,
            Some(ResyncReason::Behind(cause)) => (cause, false),
            Some(ResyncReason::EpochChanged(cause)) => (cause, true),
            Some(ResyncReason::Retired(error)) => {
                tracing::warn!(%error, "ending all watches");
                inner.loading_failed(&error);
                inner.drop_generation();
                continue;
            }
        };
        tracing::warn!(cause, "reloading objects");
        // Publish `Resyncing` before dropping the caches, so that no reader observes `Ready`
        // without one.
        inner.phase.send_replace(Phase::Resyncing { cause });
        if invalid {
            inner.drop_generation();
        }
    }
}

impl Inner {
    /// Stops serving, and ends all watches with 410.
    fn drop_generation(&self) {
        if let Some(generation) = self.generation.swap(None) {
            generation.close();
        }
    }

    /// Sets the phase after a failed load; returns whether it has changed.
    fn loading_failed(&self, error: &Error) -> bool {
        let cause = error.to_string();
        let damaged = error.reason == Reason::Corrupt;
        let retired = error.reason == Reason::Retired;
        self.phase.send_if_modified(|phase| {
            let next = match phase {
                _ if retired => Phase::Retired { cause },
                Phase::Initializing { .. } | Phase::Damaged { .. } if damaged => {
                    Phase::Damaged { error: cause }
                }
                Phase::Initializing { .. } | Phase::Damaged { .. } => Phase::Initializing {
                    last_error: Some(cause),
                },
                // Storage is away, but watches must still end with 410.
                Phase::Retired { .. } => Phase::Retired { cause },
                Phase::Ready | Phase::Stale { .. } | Phase::Resyncing { .. } => {
                    Phase::Resyncing { cause }
                }
            };
            let changed = *phase != next;
            *phase = next;
            changed
        })
    }
}

impl ResyncReason {
    /// The reason if the stream cannot be resumed after an error.
    fn of(error: &Error) -> Option<Self> {
        match error.reason {
            Reason::Compacted => Some(Self::Behind(error.to_string())),
            Reason::EpochChanged => Some(Self::EpochChanged(error.to_string())),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reload")
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}
