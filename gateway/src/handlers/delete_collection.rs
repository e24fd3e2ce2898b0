//! `DELETE` of a collection.

use std::sync::Arc;

use api_types::options::ListOptions;
use api_types::status::{ApiError, Reason};
use axum::body::Body;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http::Response;

use super::list::Plan;
use super::{Api, Call, delete};
use crate::codec::{self, Form, Page};
use crate::registry::Target;
use crate::store::{ObjectKey, Stored};

/// Deletions under way at once: enough for the backend to commit many together.
const AT_ONCE: usize = 64;

/// Deletes what is selected, and answers with the objects as they were listed. The first failure
/// ends it; what is deleted by then stays deleted.
pub(super) async fn delete(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    let form = Form::of(&call.head)?;
    let list = ListOptions::parse(call.query())?;
    let plan = Plan::of(&list, call)?;
    let options = delete::options(call).await?;
    let Page { walk, meta } = plan.read(api, &call.served).await?;
    let objects: Vec<Arc<Stored>> = walk().collect();
    let target = call.target(options.dry_run());
    let registry = api.registry();
    let keys: Vec<ObjectKey> = objects.iter().map(|it| it.key().clone()).collect();
    let deletions = keys.into_iter().map(|key| {
        let (registry, options) = (&registry, &options);
        async move {
            let target = Target {
                namespace: key.namespace(),
                name: key.name(),
                ..target
            };
            match registry.delete(&target, options).await {
                // Somebody else was faster.
                Err(error) if error.reason() == Some(Reason::NotFound) => Ok(()),
                deleted => deleted.map(|_| ()),
            }
        }
    });
    stream::iter(deletions)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let page = Page {
        walk: Box::new(move || Box::new(objects.clone().into_iter())),
        meta,
    };
    codec::list(&form, &call.served, page).await
}
