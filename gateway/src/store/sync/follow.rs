//! Following the change stream and resuming it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{Batch, ChangeStream, Error, IdentityWatch, LoadBudget, Reason};
use crate::store::inner::{Generation, Inner, frontier};
use crate::store::sync::apply::apply;
use crate::store::sync::list::list;
use crate::store::sync::{Reload, ResyncReason, backoff};
use crate::store::{Phase, ResourceId};

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

    /// Follows, resuming broken streams, until the caches cannot be kept; none at the shutdown.
    pub(super) async fn run(
        mut self,
        stream: ChangeStream,
        identity: &mut IdentityWatch,
        reloads: &mut mpsc::Receiver<Reload>,
        cancel: &CancellationToken,
    ) -> Option<ResyncReason> {
        let mut stream = Some(stream);
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
                // Not in the select above: a cancelled reload would be half done.
                Next::Reload(reload) => {
                    if let Err(reason) = self.reload(reload).await {
                        return Some(reason);
                    }
                }
            }
        }
    }

    /// Tries to resume until it works or cannot work.
    async fn resume(&self) -> Result<ChangeStream, ResyncReason> {
        let mut pauses = backoff();
        loop {
            let through = frontier(self.generation);
            let mut error = match self.inner.backend.watch(through).await {
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
                tracing::error!(%through, %error, "storage revision regressed");
                // Readers that wait get the new epoch, or the error of the old one.
                let asked = self.inner.backend.current_revision().await;
                if let Err(refused) = asked
                    && refused.reason == Reason::WentBack
                {
                    error = refused;
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

    /// Serves another set of resources. New ones are loaded as they were at the frontier, so that
    /// the stream goes on for all alike.
    async fn reload(&mut self, reload: Reload) -> Result<(), ResyncReason> {
        let resources: Arc<[ResourceId]> = reload.decoder.resources().into();
        self.inner
            .loader
            .replace_decoder(Arc::clone(&reload.decoder));
        for gone in self
            .resources
            .iter()
            .filter(|known| !resources.contains(known))
        {
            self.generation.remove(gone);
        }
        let budget = LoadBudget::new(self.inner.config.load_bytes());
        let kept = |it: &ResourceId| self.resources.contains(it) && !reload.changed.contains(it);
        for resource in resources.iter().filter(|resource| !kept(resource)) {
            let through = frontier(self.generation);
            match list(self.inner, resource, Some(through), &budget).await {
                Ok((objects, at)) if at == through => {
                    self.generation.insert(resource.clone(), objects, at.get());
                }
                // The driver lacks the history, or the stream broke: reload all objects.
                Ok(_) => return Err(ResyncReason::Behind("resources were added".to_owned())),
                Err(error) => return Err(ResyncReason::Behind(error.to_string())),
            }
        }
        self.resources = resources;
        // No reader waits for it.
        let _ = reload.done.send(());
        Ok(())
    }
}

enum Next {
    Batch(Result<Batch, Error>),
    Resumed(Box<Result<ChangeStream, ResyncReason>>),
    Reload(Reload),
}
