//! URLs, hashes and caching of documents.

use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::*;
use crate::resources;

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

fn documents() -> OpenApi {
    let mut manifests = resources::parse("test", MANIFEST.as_bytes(), 1000).unwrap();
    let catalog = Catalog::default().with(manifests.remove(0).resource);
    OpenApi::new(&catalog.unwrap())
}

fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

async fn json(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn openapi_index_links_immutable_documents() {
    let documents = documents();
    let index = json(documents.index(&head("/openapi/v3", &[]))).await;
    let paths = index["paths"].as_object().unwrap();
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["apis/x.io/v1"]);
    let url = paths["apis/x.io/v1"]["serverRelativeURL"].as_str().unwrap();

    let response = documents.version("apis/x.io/v1", &head(url, &[]));
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers["cache-control"], "public, immutable");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["vary"], "Accept");
    assert!(headers["expires"].to_str().unwrap().ends_with("GMT"));
    assert!(headers.contains_key("last-modified"));
    let hash = headers["etag"]
        .to_str()
        .unwrap()
        .trim_matches('"')
        .to_owned();
    assert!(url.ends_with(&format!("?hash={hash}")), "{url}");
    let document = json(response).await;
    assert_eq!(document["openapi"], "3.0.0");
    let list = &document["components"]["schemas"]["io.x.v1.FooList"];
    assert!(list.is_object(), "the default name of the list kind");
}

#[test]
fn stale_openapi_hash_is_redirected_and_matching_etag_is_304() {
    let documents = documents();
    let path = "apis/x.io/v1";
    let moved = documents.version(path, &head("/openapi/v3/apis/x.io/v1?hash=OLD", &[]));
    assert_eq!(moved.status(), StatusCode::MOVED_PERMANENTLY);
    let location = moved.headers()["location"].to_str().unwrap();
    let etag = moved.headers()["etag"].to_str().unwrap();
    let wanted = format!("/openapi/v3/{path}?hash={}", etag.trim_matches('"'));
    assert_eq!(location, wanted);

    let known = head(location, &[("if-none-match", etag)]);
    assert_eq!(
        documents.version(path, &known).status(),
        StatusCode::NOT_MODIFIED
    );
    for (path, accept, status) in [
        (path, "text/html", StatusCode::NOT_ACCEPTABLE),
        (path, "*/*", StatusCode::OK),
        ("apis/x.io/v2", "*/*", StatusCode::NOT_FOUND),
        ("apis/x.io/v1/", "*/*", StatusCode::NOT_FOUND),
    ] {
        let response = documents.version(path, &head("/", &[("accept", accept)]));
        assert_eq!(response.status(), status, "{path} {accept}");
        assert!(!response.headers().contains_key("expires"));
    }
}

#[tokio::test]
async fn openapi_v2_is_one_document() {
    let documents = documents();
    let response = documents.all(&head("/openapi/v2", &[("accept-encoding", "gzip")]));
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["Accept-Encoding", "Accept"]);
    let response = documents.all(&head("/openapi/v2", &[]));
    let document = json(response).await;
    assert_eq!(document["swagger"], "2.0");
    assert!(document["definitions"]["io.x.v1.Foo"].is_object());
}

#[tokio::test]
async fn openapi_protobuf_has_etag_of_json() {
    let documents = documents();
    let path = "apis/x.io/v1";
    let all = |accept: &str| documents.all(&head("/openapi/v2", &[("accept", accept)]));
    let one = |accept: &str| documents.version(path, &head("/", &[("accept", accept)]));
    for (version, responses) in [
        ("v2", &all as &dyn Fn(&str) -> Response<Body>),
        ("v3", &one),
    ] {
        let json = responses("application/json");
        let name = format!("application/com.github.proto-openapi.spec.{version}.v1.0+protobuf");
        for accept in [name.clone(), name.replace(".v1.0", "@v1.0")] {
            let response = responses(&accept);
            assert_eq!(response.headers()["content-type"], name.as_str());
            assert_eq!(response.headers()["etag"], json.headers()["etag"]);
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            // Field 1 of both messages is the OpenAPI version.
            let begin: &[u8] = if version == "v2" {
                b"\x0a\x032.0"
            } else {
                b"\x0a\x053.0.0"
            };
            assert!(bytes.starts_with(begin), "{accept}");
        }
        let both = responses(&format!("{name};q=0.5, application/json"));
        assert_eq!(both.headers()["content-type"], "application/json");
    }
}
