//! Metrics of the store, with kube-apiserver's names where it has them.

use api_types::revision::Revision;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::store::ResourceId;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resource {
    group: String,
    resource: String,
}

/// Clones share the metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    objects: Family<Resource, Gauge>,
    terminated: Family<Resource, Counter>,
    revision: Gauge,
    fenced: Gauge,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Objects by resource";
        registry.register("apiserver_resource_objects", help, self.objects.clone());
        let help = "Watches that ended because their client read too slowly, by resource";
        let name = "apiserver_terminated_watchers";
        registry.register(name, help, self.terminated.clone());
        let help = "Revision up to which the objects in memory are complete";
        registry.register("ark_storage_revision", help, self.revision.clone());
        let help = "1 while a fence rejects all writes";
        registry.register("ark_storage_fenced", help, self.fenced.clone());
    }

    /// Counter of the watches of a resource that are ended.
    pub(super) fn terminated(&self, resource: &ResourceId) -> Counter {
        self.terminated.get_or_create_owned(&resource.into())
    }

    pub(super) fn set_fenced(&self, fenced: bool) {
        self.fenced.set(fenced.into());
    }

    /// Sets the gauges of the objects.
    pub(super) fn measure(&self, objects: Vec<(ResourceId, usize)>, up_to: Revision) {
        // Also removes the series of resources that are no longer served.
        self.objects.clear();
        for (resource, objects) in objects {
            self.objects
                .get_or_create(&(&resource).into())
                .set(i64::try_from(objects).unwrap_or(i64::MAX));
        }
        self.revision
            .set(i64::try_from(up_to.get()).unwrap_or(i64::MAX));
    }
}

impl From<&ResourceId> for Resource {
    fn from(id: &ResourceId) -> Self {
        Self {
            group: id.group().to_owned(),
            resource: id.resource().to_owned(),
        }
    }
}
