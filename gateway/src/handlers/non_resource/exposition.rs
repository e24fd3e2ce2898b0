//! `/metrics`: counters, and gauges that are measured at the scrape.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;

use crate::reply;
use crate::serving::Limits;
use crate::store::Store;
use crate::telemetry::Metrics;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The registry, and the components that are measured at the scrape.
#[derive(Debug)]
pub(super) struct Exposition {
    metrics: Metrics,
    store: Store,
    limits: Limits,
    objects: Gauge,
    object_bytes: Gauge,
    history_bytes: Gauge,
    ready: Gauge,
}

impl Exposition {
    pub(super) fn new(metrics: Metrics, store: Store, limits: Limits) -> Self {
        let gauges: [Gauge; 4] = Default::default();
        let [objects, object_bytes, history_bytes, ready] = gauges;
        metrics.register(|registry| {
            let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
            registry.register("ark_build", "The build that is running", build);
            let help = "Objects held in memory";
            registry.register("ark_cache_objects", help, objects.clone());
            let help = "Bytes of the objects held in memory";
            registry.register("ark_cache_object_bytes", help, object_bytes.clone());
            let help = "Bytes of past changes held in memory for watches";
            registry.register("ark_cache_history_bytes", help, history_bytes.clone());
            let help = "1 while the objects are loaded and the stream of changes is up";
            registry.register("ark_storage_ready", help, ready.clone());
            store.register(registry);
        });
        Self {
            metrics,
            store,
            limits,
            objects,
            object_bytes,
            history_bytes,
            ready,
        }
    }

    /// The response to a scrape.
    pub(super) fn respond(&self) -> Response<Body> {
        let (reads, writes) = self.limits.in_flight();
        self.metrics.in_flight(reads, writes);
        let usage = self.store.usage();
        set(&self.objects, usage.items);
        set(&self.object_bytes, usage.current);
        set(&self.history_bytes, usage.history);
        let ready = self.store.phase().borrow().ready().is_ok();
        set(&self.ready, ready.into());
        reply::body(StatusCode::OK, OPEN_METRICS, self.metrics.render())
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
