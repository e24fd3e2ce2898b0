//! `DELETE` of a collection.

use std::sync::Arc;

use api_types::options::ListOptions;
use api_types::status::{ApiError, Reason};
use axum::body::Body;
use http::Response;

use super::list::Plan;
use super::{Api, Call, delete};
use crate::codec::{self, Negotiated, Objects, Page};
use crate::compute::Turn;
use crate::registry::{Delete, Target};
use crate::store::Stored;

/// Deletes the selected objects, and responds with them as listed. Stops at the first error;
/// objects deleted until then stay deleted.
///
/// One after another, as kube-apiserver with its default `--delete-collection-workers=1`: objects
/// after the failed one are not deleted, and events come in the order of the list.
pub(super) async fn delete(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let negotiated = Negotiated::of(&call.head)?;
    let list = ListOptions::parse(call.query())?;
    let plan = Plan::of(&list, call)?;
    let options = delete::options(api, call).await?;
    options.check_collection()?;
    let Page { walk, meta } = plan.read(api, &call.served).await?;
    let objects = chosen(walk(), api.store.compute().walks().begin()).await;
    let target = call.target(options.dry_run(), "");
    for object in &objects {
        let target = Target {
            namespace: object.key().namespace().into(),
            name: object.key().name().into(),
            deadline: call.context.deadline,
            ..target.clone()
        };
        let options = options.clone();
        match api.registry.write(&target, Delete { options }).await {
            Err(error) if error.reason() != Some(Reason::NotFound) => return Err(error),
            // Also if another client deleted the object.
            _ => {}
        }
    }
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
