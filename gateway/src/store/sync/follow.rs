//! Following the change stream and resuming it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{Batch, ChangeStream, Error, IdentityWatch, LoadBudget, Reason};
use crate::store::inner::{Generation, Inner, frontier};
use crate::store::sync::apply::apply;
use crate::store::sync::list::list;
use crate::store::sync::{Reload, ResyncReason, backoff};
use crate::store::{Phase, ResourceId};

/// Interval at which a follower asks whether the store is fenced or retired.
const RETIRED_INTERVAL: Duration = Duration::from_secs(1);

/// Applies changes of the backend to one generation of caches.
pub(super) struct Follower<'a> {
    inner: &'a Arc<Inner>,
    generation: &'a Arc<Generation>,
    resources: Arc<[ResourceId]>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(inner: &'a Arc<Inner>, generation: &'a Arc<Generation>) -> Self {
        let resources = inner.loader.decoder().resources().into();
        Self {
            inner,
            generation,
            resources,
        }
    }

    /// Applies changes and resumes broken streams until the caches must be replaced. `None` at the
    /// shutdown.
    pub(super) async fn run(
        mut self,
        stream: ChangeStream,
        identity: &mut IdentityWatch,
        reloads: &mut mpsc::Receiver<Reload>,
        cancel: &CancellationToken,
    ) -> Option<ResyncReason> {
        let mut stream = Some(stream);
        let inner = Arc::clone(self.inner);
        let mut retired = std::pin::pin!(retired(&inner));
        loop {
            let next = async {
                match &mut stream {
                    Some(stream) => Next::Batch(stream.next().await),
                    None => Next::Resumed(Box::new(self.resume().await)),
                }
            };
            let next = tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                () = identity.changed() => {
                    let cause = "the storage backend changed its epoch".to_owned();
                    return Some(ResyncReason::EpochChanged(cause));
                }
                error = &mut retired => return Some(ResyncReason::Retired(error)),
                Some(reload) = reloads.recv() => Next::Reload(reload),
                next = next => next,
            };
            match next {
                Next::Batch(Ok(batch)) => {
                    apply(self.inner, self.generation, &self.resources, batch).await;
                }
                Next::Batch(Err(error)) => {
                    if let Some(reason) = ResyncReason::of(&error) {
                        return Some(reason);
                    }
                    stream = None;
                    self.stale(&error);
                }
                Next::Resumed(resumed) => match *resumed {
                    Ok(resumed) => {
                        self.inner.phase.send_replace(Phase::Ready);
                        stream = Some(resumed);
                    }
                    Err(reason) => return Some(reason),
                },
                // Not in the select above, which would cancel a reload halfway.
                Next::Reload(reload) => {
                    if let Err(reason) = self.reload(reload).await {
                        return Some(reason);
                    }
                }
            }
        }
    }

    /// Retries until the stream is resumed, or cannot be.
    async fn resume(&self) -> Result<ChangeStream, ResyncReason> {
        let mut pauses = backoff();
        loop {
            let frontier = frontier(self.generation);
            let mut error = match self.inner.backend.watch(frontier).await {
                Ok(mut stream) => match stream.first().await {
                    Ok(()) => return Ok(stream),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Some(reason) = ResyncReason::of(&error) {
                return Err(reason);
            }
            if error.reason == Reason::FutureRevision {
                tracing::error!(%frontier, %error, "storage revision regressed");
                // Finds a new epoch, or the error that waiting readers get.
                let current = self.inner.backend.current_revision().await;
                if let Err(regressed) = current
                    && regressed.reason == Reason::Regressed
                {
                    error = regressed;
                }
            }
            self.stale(&error);
            pauses.pause().await;
        }
    }

    fn stale(&self, error: &Error) {
        self.inner.phase.send_if_modified(|phase| {
            let cause = error.to_string();
            if let Phase::Stale { cause: known, .. } = phase {
                let changed = *known != cause;
                *known = cause;
                return changed;
            }
            tracing::warn!(%error, "change stream broke, resuming");
            *phase = Phase::Stale {
                since: Instant::now(),
                cause,
            };
            true
        });
    }

    /// Serves another set of resources. New ones are loaded at the frontier, so that the stream
    /// continues there for all of them.
    async fn reload(&mut self, reload: Reload) -> Result<(), ResyncReason> {
        let resources: Arc<[ResourceId]> = reload.decoder.resources().into();
        self.inner
            .loader
            .replace_decoder(Arc::clone(&reload.decoder));
        let removed = |known: &&ResourceId| !resources.contains(known);
        for resource in self.resources.iter().filter(removed) {
            self.generation.remove(resource);
        }
        let budget = LoadBudget::new(self.inner.config.load_bytes());
        let kept = |it: &ResourceId| self.resources.contains(it) && !reload.changed.contains(it);
        for resource in resources.iter().filter(|resource| !kept(resource)) {
            let frontier = frontier(self.generation);
            match list(self.inner, resource, Some(frontier), &budget).await {
                Ok((objects, at)) if at == frontier => {
                    self.generation.insert(resource.clone(), objects, at.get());
                }
                // The driver lacks the history, or the stream broke: reload all objects.
                Ok(_) => return Err(ResyncReason::Behind("resources were added".to_owned())),
                Err(error) => return Err(ResyncReason::Behind(error.to_string())),
            }
        }
        self.resources = resources;
        // Fails if the caller has left.
        let _ = reload.done.send(());
        Ok(())
    }
}

/// Waits until the store is retired, and records whether it is fenced. A driver that does not respond is not an error here: the change
/// stream reports it.
async fn retired(inner: &Inner) -> Error {
    loop {
        tokio::time::sleep(RETIRED_INTERVAL).await;
        if let Ok(description) = inner.backend.describe().await {
            inner.note_fence(description.fenced);
            if let Some(reason) = description.retired {
                return Error::retired(&reason);
            }
        }
    }
}

enum Next {
    Batch(Result<Batch, Error>),
    Resumed(Box<Result<ChangeStream, ResyncReason>>),
    Reload(Reload),
}
