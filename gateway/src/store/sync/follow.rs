//! Following the change stream and resuming it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{Batch, ChangeStream, Error, IdentityWatch, LoadBudget, Reason};
use crate::store::inner::{Generation, Inner};
use crate::store::sync::apply::apply;
use crate::store::sync::list::list;
use crate::store::sync::{Reload, Void, backoff};
use crate::store::{Phase, ResourceId};

/// Applies what the backend tells to one generation of caches.
pub(super) struct Follower<'a> {
    inner: &'a Arc<Inner>,
    generation: &'a Arc<Generation>,
    resources: Arc<[ResourceId]>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(inner: &'a Arc<Inner>, generation: &'a Arc<Generation>) -> Self {
        let resources = inner.loader.codec().resources().into();
        Self {
            inner,
            generation,
            resources,
        }
    }

    /// Follows, resuming broken streams, until the caches are void.
    pub(super) async fn run(
        mut self,
        stream: ChangeStream,
        identity: &mut IdentityWatch,
        reloads: &mut mpsc::Receiver<Reload>,
        cancel: &CancellationToken,
    ) -> Void {
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
                () = cancel.cancelled() => return Void::Stopped,
                () = identity.changed() => {
                    return Void::Epoch("the storage backend changed its epoch".to_owned());
                }
                Some(reload) = reloads.recv() => Next::Reload(reload),
                next = next => next,
            };
            match next {
                Next::Batch(Ok(batch)) => {
                    apply(self.inner, self.generation, &self.resources, batch).await;
                }
                Next::Batch(Err(error)) => {
                    if let Some(void) = Void::because(&error) {
                        return void;
                    }
                    stream = None;
                    self.stale(&error);
                }
                Next::Resumed(resumed) => match *resumed {
                    Ok(resumed) => {
                        self.inner.phase.send_replace(Phase::Ready);
                        stream = Some(resumed);
                    }
                    Err(void) => return void,
                },
                // Not in the select above: a cancelled reload would be half done.
                Next::Reload(reload) => {
                    if let Err(void) = self.reload(reload).await {
                        return void;
                    }
                }
            }
        }
    }

    /// Tries to resume until it works or cannot work.
    async fn resume(&self) -> Result<ChangeStream, Void> {
        let mut pauses = backoff();
        loop {
            let through = self.generation.frontier().up_to_revision();
            let mut error = match self.inner.backend.watch(through).await {
                Ok(mut stream) => match stream.first().await {
                    Ok(()) => return Ok(stream),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Some(void) = Void::because(&error) {
                return Err(void);
            }
            if let Reason::FutureRevision { current } = error.reason {
                tracing::error!(through, current, "storage went back, waiting for it");
                // A new epoch is told to whoever waits for it, and an old one is the reason.
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
            let trouble = error.to_string();
            if let Phase::Stale { trouble: known, .. } = phase {
                let news = *known != trouble;
                *known = trouble;
                return news;
            }
            tracing::warn!(%error, "change stream broke, resuming");
            *phase = Phase::Stale {
                since: Instant::now(),
                trouble,
            };
            true
        });
    }

    /// Serves another set of resources. New ones are loaded as they were at the frontier, so that
    /// the stream goes on for all alike.
    async fn reload(&mut self, reload: Reload) -> Result<(), Void> {
        let resources: Arc<[ResourceId]> = reload.codec.resources().into();
        self.inner.loader.replace_codec(Arc::clone(&reload.codec));
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
            let through = self.generation.frontier().up_to_revision();
            match list(self.inner, resource, through, &budget).await {
                Ok((objects, at)) if at == through => {
                    self.generation.insert(resource.clone(), objects, at);
                }
                // The driver lacks the history, or the stream broke: reload all objects.
                Ok(_) => return Err(Void::Behind("resources were added".to_owned())),
                Err(error) => return Err(Void::Behind(error.to_string())),
            }
        }
        self.resources = resources;
        // Nobody has to wait for it.
        let _ = reload.done.send(());
        Ok(())
    }
}

enum Next {
    Batch(Result<Batch, Error>),
    Resumed(Box<Result<ChangeStream, Void>>),
    Reload(Reload),
}
