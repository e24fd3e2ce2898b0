//! Selects the handler of a request.
//!
//! Source: `crdHandler` of `apiextensions-apiserver`: unknown resources get a plain 404, known ones
//! a Status.

use api_types::request_info::{RequestInfo, Verb};
use api_types::status::ApiError;
use axum::body::Body;
use http::Response;

use super::{Api, Call, create, delete, delete_collection, get, list, patch, update, watch};
use crate::resources::{Catalog, Served};
use crate::strategy::prepare::Part as Written;

/// The part of a resource that a request addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Object,
    Status,
    Scale,
}

/// The resource of a request in its version; none for a plain 404.
pub(super) fn find(catalog: &Catalog, info: &RequestInfo) -> Option<Served> {
    if !info.is_resource_request {
        return None;
    }
    let served = catalog.served(&info.group, &info.version, &info.resource)?;
    let in_scope = match (served.namespaced(), info.namespace.as_str()) {
        // Only collections span namespaces.
        (true, "") => matches!(info.verb, Verb::List | Verb::Watch),
        (true, _) => true,
        // The namespace of a request for a namespace is that namespace itself.
        (false, namespace) => {
            namespace.is_empty() || (info.resource == "namespaces" && info.group.is_empty())
        }
    };
    in_scope.then_some(served)
}

/// Responds to a request for a known resource.
pub(super) async fn respond(api: &Api, call: &mut Call) -> Result<Response<Body>, ApiError> {
    if let Some(warning) = call.served.warning() {
        call.context.warnings.add(warning);
    }
    let part = part(call)?;
    if call.served.resource().review().is_some() && call.info.verb != Verb::Create {
        return Err(unsupported(call));
    }
    // The futures of writes are boxed: they are six times as large as those of reads, and every
    // future of this function would have that size.
    match (&call.info.verb, part) {
        (Verb::Get, Part::Object | Part::Status) => get::object(api, call).await,
        (Verb::Get, Part::Scale) => get::scale(api, call).await,
        (Verb::List, Part::Object) => list::list(api, call).await,
        (Verb::Watch, Part::Object) => watch::watch(api, call).await,
        (Verb::Create, Part::Object) => Box::pin(create::create(api, call)).await,
        (Verb::Update, Part::Object) => Box::pin(update::update(api, call, Written::Main)).await,
        (Verb::Update, Part::Status) => Box::pin(update::update(api, call, Written::Status)).await,
        (Verb::Update, Part::Scale) => Box::pin(update::update_scale(api, call)).await,
        (Verb::Patch, Part::Object) => Box::pin(patch::patch(api, call, Written::Main)).await,
        (Verb::Patch, Part::Status) => Box::pin(patch::patch(api, call, Written::Status)).await,
        (Verb::Patch, Part::Scale) => Box::pin(patch::patch_scale(api, call)).await,
        (Verb::Delete, Part::Object) => Box::pin(delete::delete(api, call)).await,
        (Verb::DeleteCollection, Part::Object) => {
            Box::pin(delete_collection::delete(api, call)).await
        }
        _ => Err(unsupported(call)),
    }
}

fn unsupported(call: &Call) -> ApiError {
    let resource = call.served.group_resource();
    ApiError::method_not_supported(resource, call.info.verb.as_str())
}

fn part(call: &Call) -> Result<Part, ApiError> {
    let version = call.served.version();
    match call.info.subresource.as_str() {
        "" => Ok(Part::Object),
        "status" if version.status => Ok(Part::Status),
        "scale" if version.scale.is_some() => Ok(Part::Scale),
        _ => {
            let resource = call.served.group_resource();
            Err(ApiError::not_found(resource, &call.info.name))
        }
    }
}
