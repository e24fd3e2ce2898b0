//! Applying changes to the caches.

use std::sync::Arc;

use watch_cache::Change;

use crate::backend::Batch;
use crate::store::ResourceId;
use crate::store::inner::{Generation, Inner};
use crate::store::slot::Slot;

/// Applies a batch to all caches, then moves the frontier.
pub(super) async fn apply(
    inner: &Arc<Inner>,
    generation: &Generation,
    resources: &Arc<[ResourceId]>,
    batch: Batch,
) {
    if !batch.changes.is_empty() {
        let mut by_resource: Vec<(ResourceId, Vec<Change<Slot>>)> = Vec::new();
        for (resource, change) in inner.loader.changes(resources, batch.changes).await {
            match by_resource.iter_mut().find(|(known, _)| *known == resource) {
                Some((_, changes)) => changes.push(change),
                None => by_resource.push((resource, vec![change])),
            }
        }
        for (resource, changes) in by_resource {
            if let Some(cache) = generation.get(&resource) {
                cache.apply(changes);
            }
        }
    }
    generation.frontier().advance(batch.up_to_revision.get());
    generation.enforce();
}
