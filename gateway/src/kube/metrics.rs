//! Metrics of requests to kube-apiserver and of caches, with the names of `k8s.io/apiserver`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::telemetry::Metrics;

/// Buckets of `k8s.io/apiserver/pkg/authorization/authorizerfactory/metrics.go`, seconds.
const REQUEST_BUCKETS: [f64; 8] = [0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0];
/// Prometheus' default buckets, which `k8s.io/apiserver` uses for its token cache, seconds.
const CACHE_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

/// Attempts by status code; `<error>` if there was no response.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    total: Family<Code, Counter>,
    durations: Family<Code, Histogram, fn() -> Histogram>,
}

/// Hits and misses of a cache, and the requests that fill it.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    requests: Family<Status, Counter>,
    durations: Family<Status, Histogram, fn() -> Histogram>,
    fetches: Family<Status, Counter>,
    active: Family<Status, Gauge>,
}

/// Increments a gauge until dropped.
#[derive(Debug)]
pub(super) struct Active(Gauge);

// === impl RequestMetrics ===

impl RequestMetrics {
    /// Registers `PREFIX_request_total` and `PREFIX_request_duration_seconds`.
    pub fn new(metrics: &Metrics, prefix: &str) -> Self {
        let total = Family::default();
        let durations: Family<Code, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS));
        metrics.register(|registry| {
            let help = "Number of HTTP requests partitioned by status code";
            registry.register(format!("{prefix}_request"), help, total.clone());
            let name = format!("{prefix}_request_duration_seconds");
            let help = "Request latency in seconds. Broken down by status code";
            registry.register(name, help, durations.clone());
        });
        Self { total, durations }
    }

    pub(super) fn record(&self, code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        let label = Code { code };
        self.total.get_or_create(&label).inc();
        self.durations
            .get_or_create(&label)
            .observe(took.as_secs_f64());
    }
}

// === impl CacheMetrics ===

impl CacheMetrics {
    /// Registers the metrics of a cache under a prefix such as `authentication_token_cache`.
    pub fn new(metrics: &Metrics, prefix: &str) -> Self {
        let (requests, fetches, active) = (Family::default(), Family::default(), Family::default());
        let durations: Family<Status, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(CACHE_BUCKETS));
        metrics.register(|registry| {
            let help = "Questions by whether the cache had the answer";
            registry.register(format!("{prefix}_request"), help, requests.clone());
            let name = format!("{prefix}_request_duration_seconds");
            let help = "Time to an answer, in seconds";
            registry.register(name, help, durations.clone());
            let help = "Questions to kube-apiserver by result";
            registry.register(format!("{prefix}_fetch"), help, fetches.clone());
            let name = format!("{prefix}_active_fetch_count");
            let help = "Questions in flight, and requests that wait for them";
            registry.register(name, help, active.clone());
        });
        Self {
            requests,
            durations,
            fetches,
            active,
        }
    }

    pub(super) fn answered(&self, hit: bool, took: Duration) {
        let status = if hit { "hit" } else { "miss" };
        let label = Status { status };
        self.requests.get_or_create(&label).inc();
        self.durations
            .get_or_create(&label)
            .observe(took.as_secs_f64());
    }

    pub(super) fn fetched(&self, ok: bool) {
        let status = if ok { "ok" } else { "error" };
        self.fetches.get_or_create(&Status { status }).inc();
    }

    pub(super) fn blocked(&self) -> Active {
        self.active("blocked")
    }

    pub(super) fn fetching(&self) -> Active {
        self.active("in_flight")
    }

    fn active(&self, status: &'static str) -> Active {
        let gauge = self.active.get_or_create_owned(&Status { status });
        gauge.inc();
        Active(gauge)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}
