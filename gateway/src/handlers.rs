//! Handlers: from an authorized request to its response, one module per verb.
//!
//! [`Api`] selects the handler of a request. A handler parses options, calls the registry or the
//! store, and encodes the result. Errors become responses in one place, here.

mod call;
mod non_resource;

mod route;

mod get;
mod list;
mod selection;
mod watch;

mod apply;
mod create;
mod delete;
mod delete_collection;
mod patch;
mod update;

mod scale;

use std::sync::Arc;

use api_types::request_info::RequestInfo;
use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, Response};

use crate::admission::Chain;
use crate::authz::{Authorizers, Permit};
use crate::codec;
use crate::health::Health;
use crate::registry::Registry;
use crate::reply;
use crate::request::Context;
use crate::resources::Catalog;
use crate::serving::Limits;
use crate::stack::Inner;
use crate::store::Store;
use crate::telemetry::Metrics;

pub(crate) use call::Call;
pub use non_resource::{Build, Exposition, NonResource};

/// Shared state of the handlers.
#[derive(Debug)]
pub struct Api {
    /// The served resources.
    pub catalog: Arc<ArcSwap<Catalog>>,
    /// The stored objects.
    pub store: Store,
    /// Metrics of the handlers.
    pub metrics: Metrics,
    /// Handlers of non-resource paths.
    pub paths: NonResource,
    /// The write path.
    registry: Registry,
    /// Decide about requests that need the right of another verb as well.
    authorizers: Authorizers,
}

impl Api {
    /// Handlers for the resources of a catalog whose objects are in `store`. Probes report
    /// `health`, metrics the use of `limits`.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        store: Store,
        metrics: Metrics,
        health: Health,
        limits: Limits,
    ) -> Self {
        let paths = NonResource::new(&catalog, health, metrics.clone(), store.clone(), limits);
        Self {
            catalog: Arc::new(ArcSwap::from_pointee(catalog)),
            registry: Registry::new(store.clone(), Arc::new(Chain::default())),
            authorizers: Authorizers::built_in(),
            store,
            metrics,
            paths,
        }
    }
}

impl Api {
    /// As [`Self::new`], and `/version` reports `build`.
    #[must_use]
    pub fn with_build(mut self, build: Build) -> Self {
        self.paths = self.paths.with_build(build);
        self
    }

    /// As [`Self::new`], with steps of admission.
    #[must_use]
    pub fn with_admission(mut self, chain: Chain) -> Self {
        self.registry = Registry::new(self.store.clone(), Arc::new(chain));
        self
    }
}

impl Api {
    /// As [`Self::new`], with the authorizers of requests, of which the default are
    /// [`Authorizers::built_in`].
    #[must_use]
    pub fn with_authorizers(mut self, authorizers: Authorizers) -> Self {
        self.authorizers = authorizers;
        self
    }
}

impl Inner for Api {
    async fn handle(
        &self,
        permit: Permit,
        info: RequestInfo,
        context: Context,
        request: Request<Body>,
    ) -> Response<Body> {
        if !info.is_resource_request {
            let (head, _) = request.into_parts();
            let compute = self.store.compute().of(&permit.user().name);
            return non_resource::respond(self, &compute, &info, head).await;
        }
        let Some(served) = route::find(&self.catalog.load(), &info) else {
            return reply::not_found();
        };
        let mut call = Call::new(permit, info, served, context, request);
        match route::respond(self, &mut call).await {
            Ok(response) => response,
            Err(error) => codec::error(&call.head.headers, &call.head.uri, &error),
        }
    }

    fn serves(&self, info: &RequestInfo) -> bool {
        let catalog = self.catalog.load();
        catalog
            .served(&info.group, &info.version, &info.resource)
            .is_some()
    }
}
