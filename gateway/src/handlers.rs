//! From an authorized request to its answer: one room per verb.
//!
//! [`Api`] decides which handler a request is for; a handler parses options, calls the registry or
//! the store, and encodes. Errors become answers in one place, here.

mod call;
mod paths;

mod create;
mod delete;
mod patch;
mod update;

mod identity;
mod scale;

use std::sync::Arc;

use api_types::request_info::RequestInfo;
use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, Response};

use crate::authz::Permit;
use crate::registry::Registry;
use crate::reply;
use crate::resources::Catalog;
use crate::stack::Inner;
use crate::store::Store;
use crate::telemetry::Metrics;

pub(crate) use call::Call;
pub use paths::Paths;

/// Everything handlers need.
#[derive(Debug)]
pub struct Api {
    /// What is served.
    pub catalog: Arc<ArcSwap<Catalog>>,
    /// Where objects are.
    pub store: Store,
    /// Counts what handlers do.
    pub metrics: Metrics,
    /// Answers to everything that is no resource.
    pub paths: Paths,
}

impl Api {
    /// The way to write.
    fn registry(&self) -> Registry {
        Registry::new(self.store.clone())
    }
}

impl Inner for Api {
    async fn handle(
        &self,
        permit: Permit,
        info: RequestInfo,
        request: Request<Body>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        if !info.is_resource_request {
            return paths::answer(self, &info, &head);
        }
        let _ = (permit, body);
        reply::not_found()
    }

    fn serves(&self, info: &RequestInfo) -> bool {
        let catalog = self.catalog.load();
        catalog
            .served(&info.group, &info.version, &info.resource)
            .is_some()
    }
}
