//! Request metrics, with kube-apiserver's names.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use exposition::Format;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// kube-apiserver's buckets, seconds.
const DURATION_BUCKETS: [f64; 16] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0,
];

/// Labels of a request. Group, version and resource are empty for resources that are not served,
/// because clients must not be able to create series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// HTTP verb, or `LIST`, `WATCH`, `DELETECOLLECTION`, `APPLY`.
    pub verb: &'static str,
    /// `All` for dry runs.
    pub dry_run: &'static str,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Resource plural.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// `resource` for one object, `namespace` or `cluster` for collections.
    pub scope: &'static str,
    /// Always `apiserver`.
    pub component: &'static str,
}

/// Labels of a request with a response.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    #[prometheus(flatten)]
    request: RequestLabels,
    /// HTTP status code.
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rejection {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    request_kind: &'static str,
}

/// The request metrics, and the registry of all metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<ResponseLabels, Counter>,
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    rejections: Family<Rejection, Counter>,
    long_running: Family<RequestLabels, Gauge>,
    in_flight: Family<Kind, Gauge<i64, AtomicI64>>,
}

impl Metrics {
    /// Metrics in a new registry.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        exposition::register_process(&mut registry);
        let requests = Family::default();
        let durations: Family<RequestLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS));
        let (long_running, in_flight) = (Family::default(), Family::default());
        let rejections = Family::default();
        registry.register(
            "apiserver_request",
            "Requests with a response",
            requests.clone(),
        );
        let help = "Time from request to complete response, in seconds";
        registry.register(
            "apiserver_request_duration_seconds",
            help,
            durations.clone(),
        );
        let help = "Requests rejected with 429, by what they could not get";
        registry.register("ark_rejected_requests", help, rejections.clone());
        let help = "Open watches";
        registry.register("apiserver_longrunning_requests", help, long_running.clone());
        let help = "Requests in flight, without watches";
        registry.register(
            "apiserver_current_inflight_requests",
            help,
            in_flight.clone(),
        );
        Self {
            registry: Arc::new(Mutex::new(registry)),
            requests,
            durations,
            rejections,
            long_running,
            in_flight,
        }
    }

    /// Registers the metrics of another component.
    pub fn register(&self, with: impl FnOnce(&mut Registry)) {
        with(&mut self.registry.lock());
    }

    /// Counts a request whose response has this status code.
    pub fn record_request(&self, request: RequestLabels, code: u16, took: Duration) {
        self.durations
            .get_or_create(&request)
            .observe(took.as_secs_f64());
        let labels = ResponseLabels { request, code };
        self.requests.get_or_create(&labels).inc();
    }

    /// Exports the reasons of rejections as 0 before the first.
    pub fn announce_rejections(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            drop(self.rejections.get_or_create(&Rejection { reason }));
        }
    }

    /// Counts a request that was rejected with 429.
    pub fn record_rejection(&self, reason: &'static str) {
        self.rejections.get_or_create(&Rejection { reason }).inc();
    }

    /// Increments the gauge of open watches until the result is dropped.
    pub fn watch_began(&self, labels: &RequestLabels) -> Watching {
        let gauge = self.long_running.get_or_create_owned(labels);
        gauge.inc();
        Watching(gauge)
    }

    /// Sets the number of running requests.
    pub fn in_flight(&self, reads: usize, writes: usize) {
        for (request_kind, count) in [("readOnly", reads), ("mutating", writes)] {
            self.in_flight
                .get_or_create(&Kind { request_kind })
                .set(count as i64);
        }
    }

    /// All metrics.
    pub fn render(&self, format: Format) -> String {
        format.encode(&self.registry.lock())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// One open watch.
#[derive(Debug)]
pub struct Watching(Gauge);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.dec();
    }
}
