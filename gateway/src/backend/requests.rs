//! Counters of requests to the backend, by method.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts requests to the backend; clones share the counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Family<Labels, Counter>);

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
    /// Counts one request.
    pub(super) fn count(&self, method: Method) {
        self.0.get_or_create(&Labels { method }).inc();
    }

    /// Registers the counters.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "ark_apiserver_backend_requests",
            "Requests to the storage backend; concurrent writes share a request, and so do reads",
            self.0.clone(),
        );
    }
}
