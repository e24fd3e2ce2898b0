//! Non-resource paths: discovery, OpenAPI, probes, metrics, version.

mod exposition;
mod version;

use std::sync::Arc;

use api_types::request_info::RequestInfo;
use api_types::status::{ApiError, Details, Reason};
use arc_swap::ArcSwap;
use axum::body::Body;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;

use super::Api;
use crate::compute::{Client, Run};
use crate::discovery::Discovery;
use crate::health::{Endpoint, Health};
use crate::openapi::OpenApi;
use crate::reply;
use crate::resources::Catalog;
use crate::serving::Limits;
use crate::store::Store;
use crate::telemetry::Metrics;

pub use exposition::Exposition;
pub use version::Build;

/// Approximate size of an OpenAPI document, bytes.
const DOCUMENT_WEIGHT: usize = 1 << 20;

/// State of the non-resource handlers.
#[derive(Debug)]
pub struct NonResource {
    /// Replaced together with the catalog.
    documents: ArcSwap<Documents>,
    health: Health,
    exposition: Arc<Exposition>,
    build: Build,
}

/// The published documents of a catalog.
#[derive(Debug)]
struct Documents {
    discovery: Discovery,
    openapi: OpenApi,
}

impl NonResource {
    /// Handlers for a catalog; `/metrics` exports `metrics` and the use of `store` and `limits`.
    #[must_use]
    pub fn new(
        catalog: &Catalog,
        health: Health,
        metrics: Metrics,
        store: Store,
        limits: Limits,
    ) -> Self {
        Self {
            documents: ArcSwap::from_pointee(Documents::new(catalog)),
            health,
            exposition: Arc::new(Exposition::new(metrics, store, limits)),
            build: Build::default(),
        }
    }

    /// The same, and `/version` reports `build`.
    #[must_use]
    pub fn with_build(self, build: Build) -> Self {
        Self { build, ..self }
    }

    /// The metrics.
    #[must_use]
    pub fn exposition(&self) -> Arc<Exposition> {
        Arc::clone(&self.exposition)
    }

    /// Replaces the published catalog.
    pub fn describe(&self, catalog: &Catalog) {
        self.documents.store(Arc::new(Documents::new(catalog)));
    }
}

impl Documents {
    fn new(catalog: &Catalog) -> Self {
        Self {
            discovery: Discovery::new(catalog),
            openapi: OpenApi::new(catalog),
        }
    }

    fn openapi(&self, path: &str, head: &Parts) -> Option<Response<Body>> {
        match path {
            "/openapi/v2" => Some(self.openapi.all(head)),
            "/openapi/v3" => Some(self.openapi.index(head)),
            path => {
                let version = path.strip_prefix("/openapi/v3/")?;
                Some(self.openapi.version(version, head))
            }
        }
    }
}

/// Responds to a non-resource request.
pub(crate) async fn respond(
    api: &Api,
    compute: &Client,
    info: &RequestInfo,
    head: Parts,
) -> Response<Body> {
    let paths = &api.paths;
    let documents = paths.documents.load_full();
    if info.path.starts_with("/openapi/") {
        let path = info.path.clone();
        // The first client builds the document; concurrent clients wait for it.
        let response = move |_: &Run| documents.openapi(&path, &head);
        let found = compute.run_accepted(DOCUMENT_WEIGHT, response).await;
        return found.unwrap_or_else(reply::not_found);
    }
    let (discovery, head, query) = (&documents.discovery, &head, head.uri.query());
    let found = match info.path.as_str() {
        "/" | "/index.html" => Some(index(&documents, &paths.health)),
        "/metrics" => Some(paths.exposition.respond(head)),
        path => probe(&paths.health, path, query),
    };
    if let Some(found) = found {
        return found;
    }
    let parts: Vec<&str> = match info.path.strip_prefix('/') {
        Some(path) => path.strip_suffix('/').unwrap_or(path).split('/').collect(),
        None => Vec::new(),
    };
    let found = match parts[..] {
        ["version"] => Some(only_get(head, || version::respond(paths.build))),
        ["api"] => Some(only_get(head, || discovery.core(head))),
        ["api", "v1"] => Some(only_get(head, || discovery.core_resources(head))),
        // The methods of the remaining paths are not checked, as in kube-apiserver.
        ["apis"] => Some(discovery.groups(head)),
        ["apis", group] => discovery.group(group, head),
        // kube-aggregator treats a 2xx response here as availability.
        ["apis", ..] if !paths.health.is_loaded() => Some(initializing()),
        ["apis", group, version] => discovery.version(group, version, head),
        _ => None,
    };
    found.unwrap_or_else(reply::not_found)
}

/// `/healthz`, `/livez`, `/readyz` and the paths of their checks.
fn probe(health: &Health, path: &str, query: Option<&str>) -> Option<Response<Body>> {
    let path = path.strip_prefix('/')?;
    let (name, check) = match path.split_once('/') {
        Some((name, check)) => (name, Some(check)),
        None => (path, None),
    };
    let mut endpoints = Endpoint::ALL.into_iter();
    let endpoint = endpoints.find(|endpoint| endpoint.name() == name)?;
    match check {
        None => Some(health.all(endpoint, query)),
        Some(check) => health.one(endpoint, check),
    }
}

/// `/`: the list of paths.
fn index(documents: &Documents, health: &Health) -> Response<Body> {
    let mut paths = documents.discovery.paths();
    paths.extend(documents.openapi.paths());
    for endpoint in Endpoint::ALL {
        let name = endpoint.name();
        paths.push(format!("/{name}"));
        let checks = health.check_names(endpoint);
        paths.extend(checks.map(|check| format!("/{name}/{check}")));
    }
    paths.extend(["/metrics".to_owned(), "/version".to_owned()]);
    paths.sort();
    reply::pretty_json(&json!({ "paths": paths }))
}

/// 405 for other methods, with the text of kube-apiserver's router.
fn only_get(head: &Parts, get: impl FnOnce() -> Response<Body>) -> Response<Body> {
    if head.method == Method::GET {
        return get();
    }
    let message = "the server does not allow this method on the requested resource";
    status(&ApiError::new(Reason::MethodNotAllowed, message).with_details(Details::default()))
}

/// 503: the objects are not loaded yet.
fn initializing() -> Response<Body> {
    let error = ApiError::service_unavailable("objects are being loaded");
    let mut response = status(&error);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn status(error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut json = error.status().to_json();
    json.push(b'\n');
    reply::body(code, reply::JSON, json)
}
