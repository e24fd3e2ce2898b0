//! Other manifests, without a restart.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use crate::config::{Error, Kinds};
use crate::handlers::Api;
use crate::resources::{Catalog, Resource};
use crate::stack::Stack;
use crate::store::ResourceId;

/// Reads the manifests again at every SIGHUP.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) kinds: Kinds,
    pub(super) stack: Arc<Stack<Api>>,
    pub(super) hangup: Signal,
}

impl Reload {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(())) = stop.run_until_cancelled(self.hangup.recv()).await {
            match stop.run_until_cancelled(self.reload()).await {
                Some(Ok(resources)) => tracing::info!(resources, "took the manifests"),
                Some(Err(error)) => tracing::error!(%error, "kept the old manifests"),
                None => return,
            }
        }
    }

    async fn reload(&self) -> Result<usize, Error> {
        let api = &self.stack.inner;
        let old = api.catalog.load_full();
        let new = self.kinds.load()?;
        let codec = Arc::new(new.clone());
        // First, so that nobody asks for objects that are not loaded.
        if let Err(error) = api.store.reload(codec, changed(&old, &new)).await {
            // The store has the new definitions all the same.
            tracing::warn!(%error, "the manifests were taken while objects are being loaded");
        }
        api.paths.describe(&new);
        let resources = new.resources().count();
        api.catalog.store(Arc::new(new));
        Ok(resources)
    }
}

/// The resources that both catalogs have, defined differently.
fn changed(old: &Catalog, new: &Catalog) -> Vec<ResourceId> {
    let differs = |resource: &&Arc<Resource>| {
        let id = resource.id();
        let before = old.get(id.group(), id.resource());
        before.is_some_and(|before| before.fingerprint() != resource.fingerprint())
    };
    let resources = new.resources().filter(differs);
    resources.map(|resource| resource.id().clone()).collect()
}
