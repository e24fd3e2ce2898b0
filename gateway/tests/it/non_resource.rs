//! Paths that are no resources: discovery, OpenAPI, probes, metrics and the version.

use axum::body::Body;
use gateway::resources::Catalog;
use http::{Request, Response};

use crate::fake::Fake;
use crate::in_process::{InProcess, Options, whole};

const KINDS: &str = "reads/kinds.yaml";

/// A server whose objects are loaded, and its backend.
async fn loaded() -> (InProcess, Fake) {
    let fake = Fake::new();
    let server = InProcess::loaded(&fake.endpoint(), KINDS, Options::default()).await;
    (server, fake)
}

/// A server whose objects are never loaded, because it has no backend.
fn initializing() -> InProcess {
    InProcess::start("unix:///nowhere", KINDS, Options::default())
}

async fn send(server: &InProcess, request: &str) -> Response<Body> {
    let (method, path) = request.split_once(' ').unwrap();
    let request = Request::builder().method(method).uri(path);
    server
        .admin
        .send(request.body(Body::empty()).unwrap())
        .await
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(whole(response.into_body()).await.to_vec()).unwrap()
}

#[tokio::test]
async fn known_paths_accept_their_methods_only() {
    let (server, _fake) = loaded().await;
    for (request, status) in [
        ("GET /", 200),
        ("GET /api", 200),
        ("GET /api/v1", 200),
        ("GET /api/v2", 404),
        ("GET /apis", 200),
        ("GET /apis/", 200),
        ("GET /apis/example.com", 200),
        ("GET /apis/example.com/v1", 200),
        ("GET /apis/example.com/v1/", 200),
        ("GET /apis//v1", 404),
        ("GET /apis/example.com/v2", 404),
        ("GET /apis/y.io", 404),
        ("POST /apis/example.com/v1", 200),
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
        ("GET /openapi/v3/apis/example.com/v1", 200),
        ("GET /openapi/v3/apis/example.com/v2", 404),
        ("GET /openapi", 404),
        ("GET /nope", 404),
    ] {
        assert_eq!(send(&server, request).await.status(), status, "{request}");
    }
    assert_eq!(
        text(send(&server, "GET /nope").await).await,
        "404 page not found\n"
    );
    assert_eq!(
        text(send(&server, "DELETE /version").await).await,
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
         \"message\":\"the server does not allow this method on the requested resource\",\
         \"reason\":\"MethodNotAllowed\",\"details\":{},\"code\":405}\n"
    );
}

#[tokio::test]
async fn kinds_of_a_cluster_are_not_served() {
    let (server, _fake) = loaded().await;
    for path in [
        "/api/v1/namespaces",
        "/api/v1/namespaces/default",
        "/api/v1/namespaces/default/events",
        "/apis/events.k8s.io/v1",
        "/apis/coordination.k8s.io/v1",
        "/apis/apiextensions.k8s.io/v1",
        "/apis/authorization.k8s.io/v1",
        "/apis/authentication.k8s.io/v1",
        "/apis/core/v1/namespaces",
    ] {
        let response = send(&server, &format!("GET {path}")).await;
        assert_eq!(response.status(), 404, "{path}");
    }
    let core = text(send(&server, "GET /api/v1").await).await;
    assert_eq!(
        core,
        "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"v1\",\
         \"resources\":[]}\n"
    );
}

#[tokio::test]
async fn every_listed_path_is_served() {
    let (server, _fake) = loaded().await;
    let index: serde_json::Value =
        serde_json::from_str(&text(send(&server, "GET /").await).await).unwrap();
    let paths = index["paths"].as_array().unwrap();
    assert!(paths.is_sorted_by_key(|path| path.as_str()));
    for path in paths {
        let request = format!("GET {}", path.as_str().unwrap());
        assert_eq!(send(&server, &request).await.status(), 200, "{request}");
    }
}

#[tokio::test]
async fn requests_before_load_are_503() {
    let server = initializing();
    let response = send(&server, "GET /apis/example.com/v1").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(send(&server, "GET /apis/example.com").await.status(), 200);
}

#[tokio::test]
async fn gauges_are_measured_at_scrape() {
    let (loaded, _fake) = loaded().await;
    for (server, ready) in [(loaded, 1), (initializing(), 0)] {
        let text = text(send(&server, "GET /metrics").await).await;
        for line in [
            "apiserver_current_inflight_requests{request_kind=\"mutating\"} 0\n",
            // The scrape itself.
            "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n",
            "ark_build_info{version=\"",
            "ark_cache_objects 0\n",
            &format!("ark_storage_ready {ready}\n"),
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}

#[tokio::test]
async fn new_catalog_replaces_documents() {
    let (server, _fake) = loaded().await;
    let api = &server.admin.stack.inner;
    api.paths.describe(&Catalog::default());
    for path in ["/apis/example.com/v1", "/openapi/v3/apis/example.com/v1"] {
        let response = send(&server, &format!("GET {path}")).await;
        assert_eq!(response.status(), 404, "{path}");
    }
    let groups = text(send(&server, "GET /apis").await).await;
    assert!(!groups.contains("example.com"), "{groups}");
}
