//! Reading all objects of one resource.

use std::collections::VecDeque;
use std::sync::Arc;

use api_types::revision::Revision;

use crate::backend::{Error, LoadBudget, Record};
use crate::store::ResourceId;
use crate::store::inner::Inner;
use crate::store::slot::Slot;

/// Chunks of one list that are decoded concurrently. More threads than processors do not help, and
/// each chunk stays in memory.
const DECODING: usize = 4;

/// All objects of a resource at a revision, or the newest state if it is `None`, and their
/// revision.
pub(super) async fn list(
    inner: &Arc<Inner>,
    resource: &ResourceId,
    revision: Option<Revision>,
    budget: &LoadBudget,
) -> Result<(Vec<Slot>, Revision), Error> {
    let mut records = inner.backend.list(resource, revision, budget).await?;
    let at = records.header().revision;
    let mut objects = Vec::new();
    let mut decoding = VecDeque::new();
    while let Some(chunk) = records.next().await? {
        decoding.push_back(decode(inner, chunk));
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

type Decoding = tokio::task::JoinHandle<Vec<Slot>>;

fn decode(inner: &Arc<Inner>, records: Vec<Record>) -> Decoding {
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || inner.loader.slots(&records))
}

async fn finished(chunk: Decoding) -> Vec<Slot> {
    match chunk.await {
        Ok(objects) => objects,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
