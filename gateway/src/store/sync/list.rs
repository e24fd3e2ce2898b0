//! Reading all objects of one resource.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::backend::{Error, LoadBudget, Record};
use crate::store::inner::Inner;
use crate::store::{ResourceId, Stored};

/// Chunks of one list that are decoded while the next arrive. More threads than processors do not
/// help, and each chunk is held in memory.
const DECODING: usize = 4;

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
