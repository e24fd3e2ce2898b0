//! `/metrics`: counters, and gauges that are measured at the scrape.

use axum::body::Body;
use exposition::Format;
use http::header::ACCEPT;
use http::request::Parts;
use http::{Response, StatusCode};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;

use crate::reply;
use crate::serving::Limits;
use crate::store::Store;
use crate::telemetry::Metrics;

/// The registry, and the components that are measured at the scrape.
#[derive(Debug)]
pub struct Exposition {
    metrics: Metrics,
    store: Store,
    limits: Limits,
    objects: Gauge,
    object_bytes: Gauge,
    history_bytes: Gauge,
    unread_bytes: Gauge,
    ready: Gauge,
}

impl Exposition {
    pub(super) fn new(metrics: Metrics, store: Store, limits: Limits) -> Self {
        let new = Self {
            metrics,
            store,
            limits,
            objects: Gauge::default(),
            object_bytes: Gauge::default(),
            history_bytes: Gauge::default(),
            unread_bytes: Gauge::default(),
            ready: Gauge::default(),
        };
        new.metrics.register(|registry| {
            let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
            registry.register("ark_build", "The build that is running", build);
            let help = "Objects held in memory";
            registry.register("ark_cache_objects", help, new.objects.clone());
            let help = "Bytes of the objects held in memory";
            registry.register("ark_cache_object_bytes", help, new.object_bytes.clone());
            let help = "Bytes of past changes held in memory for watches";
            registry.register("ark_cache_history_bytes", help, new.history_bytes.clone());
            let help = "Bytes of responses that clients have not read";
            registry.register("ark_unread_response_bytes", help, new.unread_bytes.clone());
            let help = "1 while the objects are loaded and the stream of changes is up";
            registry.register("ark_storage_ready", help, new.ready.clone());
            new.store.register(registry);
        });
        new
    }

    /// The response to a scrape, in the format that the request accepts.
    pub(super) fn respond(&self, head: &Parts) -> Response<Body> {
        let format = Format::negotiate(head.headers.get(ACCEPT));
        reply::body(StatusCode::OK, format.content_type(), self.render(format))
    }

    /// Measures the gauges and writes all metrics.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let (reads, writes) = self.limits.in_flight();
        self.metrics.in_flight(reads, writes);
        let usage = self.store.usage();
        set(&self.objects, usage.items);
        set(&self.object_bytes, usage.current);
        set(&self.history_bytes, usage.history);
        set(&self.unread_bytes, self.limits.unsent_bytes());
        let ready = self.store.phase().borrow().ready().is_ok();
        set(&self.ready, ready.into());
        self.store.measure();
        self.metrics.render(format)
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
