//! Loading the caches: the state at an old revision, then the changes since.

use std::sync::Arc;

use api_types::revision::Revision;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use watch_cache::Group;

use crate::backend::{ChangeStream, Description, Error, Header, IdentityWatch, LoadBudget};
use crate::store::ResourceId;
use crate::store::inner::{Generation, Inner, frontier};
use crate::store::sync::apply::apply;
use crate::store::sync::list::list;

/// Resources that are listed concurrently.
const LISTS: usize = 2;

/// Lists all resources at a past revision and replays the changes since, so that history is built
/// by the same code as live changes, and watches from before a restart can be resumed. Returns the
/// caches, which are complete up to the newest revision at the start, the stream that continues
/// there, and the header of the store.
pub(super) async fn load(
    inner: &Arc<Inner>,
    identity: &mut IdentityWatch,
) -> Result<(Arc<Generation>, ChangeStream, Header), Error> {
    let description = inner.backend.describe().await?;
    identity.accept(description.header.epoch);
    inner.note_fence(description.fenced);
    if let Some(reason) = &description.retired {
        return Err(Error::retired(reason));
    }
    inner.value_bytes.store(
        description.value_bytes,
        std::sync::atomic::Ordering::Relaxed,
    );
    let resources: Arc<[ResourceId]> = inner.loader.decoder().resources().into();
    let base = base(inner, &description);
    let budget = &LoadBudget::new(inner.config.load_bytes());
    let lists = stream::iter(resources.iter().cloned())
        .map(|resource| async move {
            let (objects, revision) = list(inner, &resource, base, budget).await?;
            Ok::<_, Error>((resource, objects, revision))
        })
        .buffer_unordered(LISTS)
        .try_collect::<Vec<_>>()
        .await?;
    let newest = description.header.revision;
    let start = lists
        .iter()
        .map(|(_, _, revision)| *revision)
        .min()
        .unwrap_or(newest);
    let group = Group::new(start.get(), inner.config.limits);
    for (resource, objects, revision) in lists {
        group.insert(resource, objects, revision.get());
    }
    let generation = Arc::new(group);
    let mut changes = inner.backend.watch(start).await?;
    changes.first().await?;
    while frontier(&generation) < newest {
        let batch = changes.next().await?;
        apply(inner, &generation, &resources, batch).await;
    }
    Ok((generation, changes, description.header))
}

/// The revision of the lists; `None`, the newest, if the driver cannot list past states.
fn base(inner: &Inner, description: &Description) -> Option<Revision> {
    let header = &description.header;
    let past = header.revision.get().saturating_sub(inner.config.replay);
    let past = Revision::new(past).unwrap_or(Revision::MIN);
    let wanted = past.max(header.compact_revision);
    description.time_travel.then_some(wanted)
}
