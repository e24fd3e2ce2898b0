//! Responses by path.

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt as _;

use super::*;
use crate::compute::Pool;
use crate::handlers::Namespaces;
use crate::resources;
use crate::serving::Lifecycle;
use crate::store::StoreConfig;

const MANIFEST: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.x.io}
spec:
  group: x.io
  scope: Namespaced
  names: {plural: foos, kind: Foo}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
";

/// An API whose store is loaded or not; its backend is never called.
fn api(loaded: bool) -> Api {
    let mut manifests = resources::parse("test", MANIFEST.as_bytes(), 1000).unwrap();
    let catalog = Catalog::default().with(manifests.remove(0).resource);
    let catalog = catalog.unwrap();
    let endpoint = "unix:///nowhere".parse().unwrap();
    let codec = Arc::new(catalog.clone());
    let (compute, _) = Pool::start(1).unwrap();
    let (store, _) = Store::new(&endpoint, codec, StoreConfig::default(), compute);
    let phase = if loaded {
        crate::store::Phase::Ready
    } else {
        crate::store::Phase::Initializing { last_error: None }
    };
    let (_, phase) = tokio::sync::watch::channel(phase);
    let health = Health::new(phase, Lifecycle::new().shutdown_initiated);
    let metrics = Metrics::new();
    let limits = Limits::new(1, 1);
    Api::new(
        catalog,
        store,
        metrics,
        health,
        limits,
        Namespaces::Implicit,
    )
}

async fn ask(api: &Api, request: &str) -> Response<Body> {
    let (method, path) = request.split_once(' ').unwrap();
    let head = Request::builder().method(method).uri(path).body(());
    let head = head.unwrap().into_parts().0;
    let info = RequestInfo::parse(method, head.uri.path(), head.uri.query()).unwrap();
    assert!(!info.is_resource_request, "{request}");
    let compute = api.store.compute().of("somebody");
    respond(api, &compute, &info, head).await
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn known_paths_accept_their_methods_only() {
    let api = api(true);
    for (request, status) in [
        ("GET /", 200),
        ("GET /api", 200),
        ("GET /api/v1", 200),
        ("GET /api/v2", 404),
        ("GET /apis", 200),
        ("GET /apis/", 200),
        ("GET /apis/x.io", 200),
        ("GET /apis/x.io/v1", 200),
        ("GET /apis/x.io/v1/", 200),
        ("GET /apis//v1", 404),
        ("GET /apis/x.io/v2", 404),
        ("GET /apis/y.io", 404),
        ("POST /apis/x.io/v1", 200),
        ("POST /api", 405),
        ("PUT /version", 405),
        ("GET /version", 200),
        ("GET /version/", 200),
        ("GET /healthz", 200),
        ("GET /healthz/", 404),
        ("GET /livez/ping", 200),
        ("GET /livez/nonsense", 404),
        ("GET /metrics", 200),
        ("GET /metrics/", 404),
        ("GET /openapi/v2", 200),
        ("GET /openapi/v3", 200),
        ("GET /openapi/v3/apis/x.io/v1", 200),
        ("GET /openapi/v3/apis/x.io/v2", 404),
        ("GET /openapi", 404),
        ("GET /nope", 404),
    ] {
        assert_eq!(ask(&api, request).await.status(), status, "{request}");
    }
    assert_eq!(
        text(ask(&api, "GET /nope").await).await,
        "404 page not found\n"
    );
    assert_eq!(
        text(ask(&api, "DELETE /version").await).await,
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
         \"message\":\"the server does not allow this method on the requested resource\",\
         \"reason\":\"MethodNotAllowed\",\"details\":{},\"code\":405}\n"
    );
}

#[tokio::test]
async fn every_listed_path_is_served() {
    let api = api(true);
    let index: serde_json::Value =
        serde_json::from_str(&text(ask(&api, "GET /").await).await).unwrap();
    let paths = index["paths"].as_array().unwrap();
    assert!(paths.is_sorted_by_key(|path| path.as_str()));
    for path in paths {
        let request = format!("GET {}", path.as_str().unwrap());
        assert_eq!(ask(&api, &request).await.status(), 200, "{request}");
    }
}

#[tokio::test]
async fn requests_before_load_are_503() {
    let api = api(false);
    let response = ask(&api, "GET /apis/x.io/v1").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(ask(&api, "GET /apis/x.io").await.status(), 200);
}

#[tokio::test]
async fn gauges_are_measured_at_scrape() {
    let api = api(true);
    let text = text(ask(&api, "GET /metrics").await).await;
    for line in [
        "apiserver_current_inflight_requests{request_kind=\"mutating\"} 0\n",
        "ark_build_info{version=\"",
        "ark_cache_objects 0\n",
        "ark_storage_ready 0\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn new_catalog_replaces_documents() {
    let api = api(true);
    api.paths.describe(&Catalog::default());
    assert_eq!(ask(&api, "GET /apis/x.io/v1").await.status(), 404);
    assert_eq!(
        ask(&api, "GET /openapi/v3/apis/x.io/v1").await.status(),
        404
    );
    assert!(!text(ask(&api, "GET /apis").await).await.contains("x.io"));
}
