//! Reload of manifests without a restart.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use crate::config::{Error, Kinds};
use crate::handlers::Api;
use crate::resources::{Catalog, Resource};
use crate::stack::Stack;
use crate::store::ResourceId;
use crate::telemetry::Metrics;

/// Reads the manifests again at every SIGHUP.
#[derive(Debug)]
pub(super) struct Reload {
    kinds: Kinds,
    stack: Arc<Stack<Api>>,
    hangup: Signal,
    outcomes: Family<Outcome, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

const RELOADED: Outcome = Outcome { result: "taken" };
const REJECTED: Outcome = Outcome { result: "refused" };

impl Reload {
    pub(super) fn new(
        kinds: Kinds,
        stack: Arc<Stack<Api>>,
        hangup: Signal,
        metrics: &Metrics,
    ) -> Self {
        let outcomes = Family::<Outcome, Counter>::default();
        // Creates both series, so that they are exported as 0 before the first reload.
        for outcome in [RELOADED, REJECTED] {
            drop(outcomes.get_or_create(&outcome));
        }
        metrics.register(|registry| {
            let help = "Times that manifests were read again";
            registry.register("ark_manifest_reloads", help, outcomes.clone());
        });
        Self {
            kinds,
            stack,
            hangup,
            outcomes,
        }
    }

    /// Runs until `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(())) = stop.run_until_cancelled(self.hangup.recv()).await {
            let outcome = match stop.run_until_cancelled(self.reload()).await {
                Some(Ok(resources)) => {
                    tracing::info!(resources, "reloaded resource definitions");
                    RELOADED
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "cannot reload resource definitions, keeping the old ones");
                    REJECTED
                }
                None => return,
            };
            self.outcomes.get_or_create(&outcome).inc();
        }
    }

    async fn reload(&self) -> Result<usize, Error> {
        let api = &self.stack.inner;
        let old = api.catalog.load_full();
        let new = self.kinds.load()?;
        let codec = Arc::new(new.clone());
        // The store first: a request for a new resource must not arrive before the store knows it.
        if let Err(error) = api.store.reload(codec, changed(&old, &new)).await {
            // The store uses the new definitions despite the error, so the catalog must as well.
            tracing::warn!(%error, "reloaded resource definitions while objects are loading");
        }
        api.paths.describe(&new);
        let resources = new.resources().count();
        api.catalog.store(Arc::new(new));
        Ok(resources)
    }
}

/// The resources that both catalogs define differently.
fn changed(old: &Catalog, new: &Catalog) -> Vec<ResourceId> {
    let differs = |resource: &&Arc<Resource>| {
        let id = resource.id();
        let before = old.get(id.group(), id.resource());
        before.is_some_and(|before| before.fingerprint() != resource.fingerprint())
    };
    let resources = new.resources().filter(differs);
    resources.map(|resource| resource.id().clone()).collect()
}
