//! Metrics of the kit and of the store.

use std::sync::Arc;
use std::time::Duration;

use exposition::Format;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, DriverHealth, Space};
use crate::gate::Gate;

/// Interval of the measurements of the store. On PostgreSQL they are queries.
const MEASURE_EVERY: Duration = Duration::from_secs(15);
/// Timeout of one measurement.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(5);

/// Metrics of the kit; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Mutex<Registry>>,
    batches: Histogram,
    events: Counter,
    log_reads: Counter,
    lists: Counter,
    gets: Counter,
    watches: Gauge,
    ready: Gauge,
    fenced: Gauge,
    revision: Gauge,
    space: SpaceGauges,
}

/// Bytes of the store and free bytes, where the driver knows them.
#[derive(Clone, Debug, Default)]
struct SpaceGauges(Family<Of, Gauge>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    of: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut unprefixed = Registry::default();
        exposition::register_process(&mut unprefixed);
        let registry = unprefixed.sub_registry_with_prefix("ark_backend");
        let batches = Histogram::new(exponential_buckets(1.0, 2.0, 9));
        let metrics = Self {
            batches: batches.clone(),
            events: Counter::default(),
            log_reads: Counter::default(),
            lists: Counter::default(),
            gets: Counter::default(),
            watches: Gauge::default(),
            ready: Gauge::default(),
            fenced: Gauge::default(),
            revision: Gauge::default(),
            space: SpaceGauges::default(),
            registry: Arc::default(),
        };
        registry.register("batch_ops", "Operations per commit", batches);
        registry.register(
            "events",
            "Changes committed by this process",
            metrics.events.clone(),
        );
        registry.register(
            "log_reads",
            "Reads of the change log",
            metrics.log_reads.clone(),
        );
        registry.register("lists", "Lists started", metrics.lists.clone());
        registry.register("gets", "Records requested by key", metrics.gets.clone());
        registry.register("watches", "Open watches", metrics.watches.clone());
        registry.register(
            "ready",
            "1 while the store serves reads",
            metrics.ready.clone(),
        );
        registry.register(
            "fenced",
            "1 while a fence rejects all writes",
            metrics.fenced.clone(),
        );
        registry.register(
            "revision",
            "Newest revision of the store",
            metrics.revision.clone(),
        );
        let help = "Bytes that the store takes, and bytes that can still be written";
        registry.register("space_bytes", help, metrics.space.0.clone());
        *metrics.registry.lock() = unprefixed;
        metrics
    }

    pub(crate) fn batch(&self, ops: usize) {
        self.batches.observe(ops as f64);
    }

    pub(crate) fn committed(&self, events: usize) {
        self.events.inc_by(events as u64);
    }

    pub(crate) fn log_read(&self) {
        self.log_reads.inc();
    }

    pub(crate) fn list(&self) {
        self.lists.inc();
    }

    pub(crate) fn get(&self) {
        self.gets.inc();
    }

    /// Records the published health.
    pub(crate) fn health(&self, health: &DriverHealth) {
        let (ready, fenced) = match health {
            DriverHealth::Ready | DriverHealth::NoSpace(_) => (1, 0),
            DriverHealth::Fenced(_) => (1, 1),
            DriverHealth::NotReady(_) | DriverHealth::Dead(_) => (0, 0),
        };
        self.ready.set(ready);
        self.fenced.set(fenced);
    }

    /// Counts an open watch until the guard is dropped.
    pub(crate) fn watch(&self) -> OpenWatch {
        self.watches.inc();
        OpenWatch(self.watches.clone())
    }

    /// Serves the metrics on `listener` until shutdown.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        exposition::serve(listener, move |format| self.text(format), stop).await;
    }

    /// Measures the store periodically until shutdown.
    pub(crate) async fn measure(
        self,
        driver: Arc<dyn Driver>,
        gate: Gate,
        stop: CancellationToken,
    ) {
        loop {
            // During an import the store has neither a revision nor a final size.
            if gate.check().is_ok() {
                // A store that cannot be read keeps its last values: `ready` shows its state.
                if let Ok(Ok(header)) = timeout(MEASURE_TIMEOUT, driver.header()).await {
                    self.revision.set(header.revision);
                }
                if let Ok(Ok(space)) = timeout(MEASURE_TIMEOUT, driver.space()).await {
                    self.space.record(space);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(MEASURE_EVERY) => {}
            }
        }
    }

    fn text(&self, format: Format) -> String {
        format.encode(&self.registry.lock())
    }
}

impl SpaceGauges {
    fn record(&self, space: Space) {
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for (of, value) in [("store", space.used), ("free", space.free)] {
            let label = Of { of };
            match value {
                Some(value) => {
                    self.0.get_or_create(&label).set(bytes(value));
                }
                None => {
                    self.0.remove(&label);
                }
            }
        }
    }
}

/// See [`Metrics::watch`].
#[derive(Debug)]
pub(crate) struct OpenWatch(Gauge);

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fence_is_a_metric() {
        let metrics = Metrics::new();
        let why = || "moved".to_owned();
        for (health, ready, fenced) in [
            (DriverHealth::Fenced(why()), 1, 1),
            (DriverHealth::Ready, 1, 0),
            (DriverHealth::NotReady(why()), 0, 0),
            (DriverHealth::Fenced(why()), 1, 1),
        ] {
            metrics.health(&health);
            let text = metrics.text(Format::Text);
            for (name, value) in [("ready", ready), ("fenced", fenced)] {
                let line = format!("\nark_backend_{name} {value}\n");
                assert!(text.contains(&line), "{line} in {text}");
            }
        }
    }
}
