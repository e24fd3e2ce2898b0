//! The controllers of a server without a cluster: the garbage collector, the deletion of namespaces,
//! the expiry of events, and the definitions of the served kinds as objects.
//!
//! One task runs them all. It follows the changes of every kind, and writes by [`Client`].

mod definitions;
mod events;
mod garbage;
mod graph;
mod kinds;
mod namespaces;
mod queue;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use gateway::resources::Catalog;
use gateway::store::{Freshness, ObjectKey, StoreError};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::garbage::Garbage;
use self::kinds::Kinds;
use self::namespaces::Namespaces;
use self::sources::{Change, Sources};
use crate::admission;
use crate::client::{Client, Failure};

/// Pauses after errors of the store.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// Interval of the checks for new manifests, and for namespaces whose deletion waits for others.
const TICK: Duration = Duration::from_secs(1);
/// Interval of the expiry of events.
const EXPIRY: Duration = Duration::from_secs(60);
/// Timeout of the first definitions, after which the server starts without them.
const DEFINITIONS_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the controllers start over.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the server has stopped")]
    Stopped,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All controllers.
    All,
    /// Definitions only.
    Definitions,
}

/// Runs the controllers until `stop`. `prepared` receives a value when the namespace `default` and
/// the definitions exist, or cannot be created.
pub(crate) async fn run(
    client: Client,
    mode: Mode,
    prepared: oneshot::Sender<()>,
    stop: CancellationToken,
) {
    let mut prepared = Some(prepared);
    let mut pauses = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
    loop {
        let started = Instant::now();
        let round = Box::pin(follow(&client, mode, &mut prepared));
        let Some(Err(error)) = stop.run_until_cancelled(round).await else {
            if stop.is_cancelled() {
                return;
            }
            // The served kinds have changed.
            continue;
        };
        if started.elapsed() > LAST_PAUSE {
            pauses = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        }
        if matches!(error, Interruption::Store(StoreError::EpochChanged)) {
            // Watches also end when their kind has changed.
            tracing::debug!(%error, "controllers start over");
        } else {
            tracing::warn!(%error, "controllers start over");
        }
        if stop.run_until_cancelled(pauses.pause()).await.is_none() {
            return;
        }
    }
}

/// Follows all changes until the served kinds change.
async fn follow(
    client: &Client,
    mode: Mode,
    prepared: &mut Option<oneshot::Sender<()>>,
) -> Result<(), Interruption> {
    let mut phase = client.store().phase();
    let ready = phase.wait_for(|phase| phase.ready().is_ok()).await;
    drop(ready.map_err(|_| Interruption::Stopped)?);
    let catalog = catalog(client)?;
    let kinds = Arc::new(Kinds::of(&catalog));
    let mut controllers = Controllers {
        garbage: Garbage::new(client.clone(), Arc::clone(&kinds)),
        namespaces: Namespaces::new(client.clone(), Arc::clone(&kinds)),
    };
    let setup = async {
        controllers.namespaces.ensure(admission::DEFAULT).await?;
        definitions::publish(client, &catalog).await
    };
    match timeout(DEFINITIONS_TIMEOUT, setup).await {
        Ok(Ok(())) => {}
        // A full disk must not prevent a start.
        Ok(Err(error)) => tracing::warn!(%error, "cannot create definitions"),
        Err(_) => tracing::warn!("definitions are not created in time"),
    }
    if let Some(prepared) = prepared.take() {
        // The receiver is gone if the server stops.
        let _ = prepared.send(());
    }
    if mode == Mode::Definitions {
        return changed(client, &catalog).await;
    }
    let mut sources = Sources::open(client.store(), &kinds).await?;
    sources.initial(|change| controllers.see(&change)).await?;
    controllers.namespaces.synced();
    let (mut tick, mut expiry) = (interval(TICK), interval(EXPIRY));
    loop {
        let due = controllers.garbage.next_due();
        tokio::select! {
            changes = sources.next() => controllers.see_all(&changes?),
            () = wait_until(due) => {}
            _ = tick.tick() => {
                if !Arc::ptr_eq(&catalog, &self::catalog(client)?) {
                    return Ok(());
                }
                controllers.namespaces.check_again();
            }
            _ = expiry.tick() => {
                if let Err(error) = events::expire(client).await {
                    tracing::warn!(%error, "cannot delete expired events");
                }
            }
        }
        if !controllers.has_work() {
            continue;
        }
        // The caches contain every change up to now, and so does what is derived from them.
        barrier(client).await?;
        controllers.see_all(&sources.drain()?);
        controllers.garbage.work().await;
        controllers.namespaces.work().await;
    }
}

struct Controllers {
    garbage: Garbage,
    namespaces: Namespaces,
}

impl Controllers {
    fn see_all(&mut self, changes: &[Change]) {
        for change in changes {
            self.see(change);
        }
    }

    fn see(&mut self, change: &Change) {
        self.garbage.see(change);
        self.namespaces.see(change);
    }

    fn has_work(&self) -> bool {
        let due = self.garbage.next_due();
        due.is_some_and(|due| due <= Instant::now()) || self.namespaces.has_work()
    }
}

/// Waits until the served kinds change.
async fn changed(client: &Client, known: &Arc<Catalog>) -> Result<(), Interruption> {
    let mut tick = interval(TICK);
    while Arc::ptr_eq(known, &catalog(client)?) {
        tick.tick().await;
    }
    Ok(())
}

/// The served kinds.
fn catalog(client: &Client) -> Result<Arc<Catalog>, Interruption> {
    let stack = client.stack().ok_or(Interruption::Stopped)?;
    Ok(stack.inner.catalog.load_full())
}

/// Waits until the caches contain every change that was stored before the call.
async fn barrier(client: &Client) -> Result<(), StoreError> {
    let key = ObjectKey::new("", admission::DEFAULT);
    let store = client.store();
    store
        .get(&admission::namespaces(), &key, Freshness::Latest)
        .await
        .map(drop)
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Whether an object is gone already, so that a write of it need not be repeated.
fn unless_gone<T>(result: Result<T, Failure>) -> Result<(), Failure> {
    match result {
        Err(error) if error.code() == Some(http::StatusCode::NOT_FOUND) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
