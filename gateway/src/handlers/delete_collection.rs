//! `DELETE` of a collection.

use std::sync::Arc;

use api_types::options::ListOptions;
use api_types::status::{ApiError, Reason};
use axum::body::Body;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http::Response;
use tokio::sync::Semaphore;

use super::list::Plan;
use super::{Api, Call, delete};
use crate::codec::{self, Negotiated, Objects, Page};
use crate::compute::Turn;
use crate::registry::{Delete, Target};
use crate::store::Stored;

/// Concurrent deletions: enough for the backend to commit many in one batch.
const AT_ONCE: usize = 64;
/// Approximate bytes of objects in concurrent deletions: each object is read before it is deleted.
const BYTES_AT_ONCE: usize = 16 << 20;
/// Unit of the semaphore for [`BYTES_AT_ONCE`], bytes.
const UNIT: usize = 1 << 10;

/// Deletes the selected objects, and responds with them as listed. Stops at the first error;
/// objects deleted until then stay deleted.
pub(super) async fn delete(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let negotiated = Negotiated::of(&call.head)?;
    let list = ListOptions::parse(call.query())?;
    let plan = Plan::of(&list, call)?;
    let options = delete::options(api, call).await?;
    let Page { walk, meta } = plan.read(api, &call.served).await?;
    let objects = chosen(walk(), api.store.compute().walks().begin()).await;
    let target = call.target(options.dry_run(), "");
    let (registry, room) = (&api.registry, Semaphore::new(BYTES_AT_ONCE / UNIT));
    let deletions = objects.clone().into_iter().map(|object| {
        let (options, room) = (options.clone(), &room);
        let target = Target {
            namespace: object.key().namespace().into(),
            name: object.key().name().into(),
            ..target.clone()
        };
        let units = object.bytes().len().clamp(UNIT, BYTES_AT_ONCE) / UNIT;
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        async move {
            let _held = room.acquire_many(units).await.map_err(ApiError::internal)?;
            match registry.write(&target, Delete { options }).await {
                // Another client deleted the object.
                Err(error) if error.reason() == Some(Reason::NotFound) => Ok(()),
                deleted => deleted.map(|_| ()),
            }
        }
    });
    stream::iter(deletions)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let objects: Arc<[Arc<Stored>]> = objects.into();
    let again = move || -> Objects {
        let objects = Arc::clone(&objects);
        Box::new((0..objects.len()).map(move |at| Some(Arc::clone(&objects[at]))))
    };
    let page = Page {
        walk: Box::new(again),
        meta,
    };
    codec::list(&negotiated, &call.served, page, call.compute(api)).await
}

/// The objects of a walk that match.
async fn chosen(walk: Objects, mut turn: Turn) -> Vec<Arc<Stored>> {
    let mut objects = Vec::new();
    for object in walk {
        objects.extend(object);
        turn.pass(0).await;
    }
    objects
}
