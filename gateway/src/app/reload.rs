//! Reload of manifests without a restart.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::{Error, Kinds};
use crate::handlers::Api;
use crate::resources::{Catalog, Resource};
use crate::stack::Stack;
use crate::store::ResourceId;
use crate::telemetry::Metrics;

/// Interval of the comparison of the files' contents. The update of a mounted ConfigMap replaces a
/// symbolic link and sends no signal.
const POLL_EVERY: Duration = Duration::from_secs(30);

/// Reads the manifests again at every SIGHUP, and when the files change.
#[derive(Debug)]
pub(super) struct Reload {
    kinds: Kinds,
    stack: Arc<Stack<Api>>,
    hangup: Signal,
    outcomes: Family<Outcome, Counter>,
    /// Fingerprint of the files at the last comparison; `None` before the first.
    fingerprint: Option<[u8; 32]>,
}

/// The cause of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Signal,
    /// The contents of the files differ.
    Files,
    /// The files may have changed between the start of the server and the first comparison.
    FirstComparison,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

const RELOADED: Outcome = Outcome { result: "success" };
const REJECTED: Outcome = Outcome { result: "failure" };

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
            let help = "Reloads of the manifests, by result";
            registry.register("ark_manifest_reloads", help, outcomes.clone());
        });
        Self {
            kinds,
            stack,
            hangup,
            outcomes,
            fingerprint: None,
        }
    }

    /// Runs until `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(cause)) = stop.run_until_cancelled(self.cause()).await {
            let outcome = match stop.run_until_cancelled(self.reload(cause)).await {
                Some(Ok(None)) => continue,
                Some(Ok(Some(resources))) => {
                    tracing::info!(resources, "reloaded resource definitions");
                    RELOADED
                }
                Some(Err(error)) => {
                    let message = "cannot reload resource definitions, keeping the old ones";
                    tracing::error!(%error, "{message}");
                    REJECTED
                }
                None => return,
            };
            self.outcomes.get_or_create(&outcome).inc();
        }
    }

    /// Waits for the cause of a reload; `None` if no more signals arrive.
    async fn cause(&mut self) -> Option<Cause> {
        loop {
            let signalled = tokio::select! {
                signal = self.hangup.recv() => {
                    signal?;
                    true
                }
                () = sleep(POLL_EVERY) => false,
            };
            // Computed before the manifests are read, so that the next comparison detects a change
            // in the meantime.
            let kinds = self.kinds.clone();
            let files = spawn_blocking(move || kinds.fingerprint()).await.ok()?;
            match self.fingerprint.replace(files) {
                _ if signalled => return Some(Cause::Signal),
                None => return Some(Cause::FirstComparison),
                Some(before) if before != files => return Some(Cause::Files),
                Some(_) => {}
            }
        }
    }

    /// Returns the number of resources; `None` if the first comparison finds no change.
    async fn reload(&self, cause: Cause) -> Result<Option<usize>, Error> {
        let api = &self.stack.inner;
        let old = api.catalog.load_full();
        let new = self.kinds.load()?;
        if cause == Cause::FirstComparison && old.is_same(&new) {
            return Ok(None);
        }
        let stored = |id: &ResourceId| api.store.count(id).unwrap_or_default();
        old.check_successor(&new, stored)?;
        for removed in old.missing_in(&new) {
            let id = removed.id();
            let objects = stored(id);
            tracing::warn!(
                resource = %id,
                objects,
                "resource is no longer served; its objects stay in the backend"
            );
        }
        let codec = Arc::new(new.clone());
        // The store before the catalog: requests for a new resource need its cache.
        if let Err(error) = api.store.reload(codec, changed(&old, &new)).await {
            // The store uses the new definitions despite the error, so the catalog must as well.
            tracing::warn!(%error, "reloaded resource definitions while objects are loading");
        }
        api.paths.describe(&new);
        let resources = new.resources().count();
        api.catalog.store(Arc::new(new));
        Ok(Some(resources))
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
