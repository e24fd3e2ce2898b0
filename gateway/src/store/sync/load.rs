//! Loading the caches: the state at an old revision, then the changes since.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use watch_cache::Group;

use crate::backend::{ChangeStream, Description, Error, Header, IdentityWatch, LoadBudget, Record};
use crate::store::sync::follow::apply;
use crate::store::{Generation, Inner, ResourceId, Stored};

/// Resources listed at the same time.
const LISTS: usize = 2;
/// Chunks of one list that are decoded while the next arrive. More threads than processors do not
/// help, and each chunk is held in memory.
const DECODING: usize = 4;

/// Loads all resources and replays what changed since the revision they were listed at, so that
/// history with its previous objects comes out of the same code as live changes, and watches that
/// began before a restart can be resumed. Gives the caches, complete up to the revision that was
/// newest at the start, the stream that goes on from there, and whose they are.
pub(super) async fn load(
    inner: &Arc<Inner>,
    identity: &mut IdentityWatch,
) -> Result<(Arc<Generation>, ChangeStream, Header), Error> {
    let description = inner.backend.describe().await?;
    identity.accept(description.header.epoch);
    inner.value_bytes.store(
        description.value_bytes,
        std::sync::atomic::Ordering::Relaxed,
    );
    let resources: Arc<[ResourceId]> = inner.loader.codec().resources().into();
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
    let group = Group::new(start, inner.config.limits);
    for (resource, objects, revision) in lists {
        group.insert(resource, objects, revision);
    }
    let generation = Arc::new(group);
    let mut changes = inner.backend.watch(start).await?;
    changes.first().await?;
    while generation.frontier().up_to_revision() < newest {
        let batch = changes.next().await?;
        apply(inner, &generation, &resources, batch).await;
    }
    Ok((generation, changes, description.header))
}

/// The revision to list at: 0 for now, if the driver cannot show the past or there is none.
fn base(inner: &Inner, description: &Description) -> u64 {
    let header = &description.header;
    if !description.time_travel || header.revision == 0 {
        return 0;
    }
    let wanted = header.revision.saturating_sub(inner.config.replay);
    // Revision 0 cannot be asked for: it means now.
    wanted.max(header.compact_revision).max(1)
}

/// All objects of a resource at a revision (0: now), and that revision.
pub(super) async fn list(
    inner: &Arc<Inner>,
    resource: &ResourceId,
    revision: u64,
    budget: &LoadBudget,
) -> Result<(Vec<Arc<Stored>>, u64), Error> {
    let mut records = inner
        .backend
        .list(resource.group(), resource.resource(), revision, budget)
        .await?;
    let at = records.header().revision;
    let mut objects = Vec::new();
    let mut decoding = VecDeque::new();
    while let Some(chunk) = records.next().await? {
        decoding.push_back(decode(inner, resource, chunk));
        if decoding.len() == DECODING
            && let Some(oldest) = decoding.pop_front()
        {
            objects.extend(finished(oldest).await);
        }
    }
    for chunk in decoding {
        objects.extend(finished(chunk).await);
    }
    Ok((objects, at))
}

type Decoding = tokio::task::JoinHandle<Vec<Arc<Stored>>>;

fn decode(inner: &Arc<Inner>, resource: &ResourceId, records: Vec<Record>) -> Decoding {
    let (inner, resource) = (Arc::clone(inner), resource.clone());
    tokio::task::spawn_blocking(move || inner.loader.objects(&resource, &records))
}

async fn finished(chunk: Decoding) -> Vec<Arc<Stored>> {
    match chunk.await {
        Ok(objects) => objects,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
