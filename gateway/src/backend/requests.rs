//! Number and duration of requests to the backend, by method.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// Upper bounds of the durations, seconds: from a commit on a fast disk to the deadline of a read.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];

/// Measures requests to the backend; clones share the metrics.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    total: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
}

/// A request in progress; its duration is recorded when dropped.
pub(super) struct Timer {
    duration: Histogram,
    started: Instant,
}

/// A method of the Backend protocol; the label value is its name on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Method {
    /// The description of the driver.
    Describe,
    /// A batch of changes.
    Write,
    /// The newest revision.
    CurrentRevision,
    /// All objects of a resource.
    List,
    /// The stream of changes.
    Watch,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: Method,
}

impl Requests {
    /// Counts one request and starts its measurement, which ends with the result.
    pub(super) fn begin(&self, method: Method) -> Timer {
        let labels = Labels { method };
        self.total.get_or_create(&labels).inc();
        Timer {
            duration: self.durations.get_or_create_owned(&labels),
            started: Instant::now(),
        }
    }

    /// Registers the metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help =
            "Requests to the storage backend; concurrent writes share a request, and so do reads";
        registry.register("ark_apiserver_backend_requests", help, self.total.clone());
        let help = "Time to the response of the storage backend, or to the first part of a stream, \
                    in seconds";
        let name = "ark_apiserver_backend_request_duration_seconds";
        registry.register(name, help, self.durations.clone());
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            total: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.duration.observe(self.started.elapsed().as_secs_f64());
    }
}
