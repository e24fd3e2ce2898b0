//! The documents of a small catalog, compared byte by byte.

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;

use super::*;
use crate::resources;

const MANIFESTS: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.x.io}
spec:
  group: x.io
  scope: Namespaced
  names: {plural: foos, kind: Foo, shortNames: [fo], categories: [all]}
  versions:
  - name: v1beta1
    served: true
    storage: false
    schema: &any {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
  - name: v1
    served: true
    storage: true
    schema: *any
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bars.x.io}
spec:
  group: x.io
  scope: Cluster
  names: {plural: bars, kind: Bar}
  versions:
  - {name: v1, served: true, storage: false, schema: &all {openAPIV3Schema: {type: object}}}
  - {name: v2, served: false, storage: true, schema: *all}
";

fn discovery() -> Discovery {
    let manifests = resources::parse("test", MANIFESTS.as_bytes(), 1000).unwrap();
    let mut catalog = Catalog::default();
    for manifest in manifests {
        catalog = catalog.with(manifest.resource).unwrap();
    }
    Discovery::new(&catalog)
}

fn head(accept: &str) -> Parts {
    let request = Request::get("/apis").header("accept", accept);
    request.body(()).unwrap().into_parts().0
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn group_lists_versions_in_preference_order() {
    let discovery = discovery();
    let fields = r#""name":"x.io","versions":[{"groupVersion":"x.io/v1","version":"v1"},{"groupVersion":"x.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"x.io/v1","version":"v1"}}"#;
    let response = discovery.group("x.io", &head("")).unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let group = format!(r#"{{"kind":"APIGroup","apiVersion":"v1",{fields}"#);
    assert_eq!(text(response).await, format!("{group}\n"));
    let groups = format!(r#"{{"kind":"APIGroupList","apiVersion":"v1","groups":[{{{fields}]}}"#);
    assert_eq!(
        text(discovery.groups(&head("*/*"))).await,
        format!("{groups}\n")
    );
    assert!(discovery.group("y.io", &head("")).is_none());
}

#[tokio::test]
async fn resources_include_subresources_and_storage_version_hash() {
    let discovery = discovery();
    let verbs = r#"["delete","deletecollection","get","list","patch","create","update","watch"]"#;
    let some = r#"["get","patch","update"]"#;
    // printf x.io/v1/Foo | sha256sum, its first 8 bytes in base64.
    let want = format!(
        r#"{{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"x.io/v1","resources":[{{"name":"bars","singularName":"bar","namespaced":false,"kind":"Bar","verbs":{verbs}}},{{"name":"foos","singularName":"foo","namespaced":true,"kind":"Foo","verbs":{verbs},"shortNames":["fo"],"categories":["all"],"storageVersionHash":"7NYA/lA9Fzk="}},{{"name":"foos/status","singularName":"","namespaced":true,"kind":"Foo","verbs":{some}}},{{"name":"foos/scale","singularName":"","namespaced":true,"group":"autoscaling","version":"v1","kind":"Scale","verbs":{some}}}]}}"#
    );
    let response = discovery.version("x.io", "v1", &head("")).unwrap();
    assert_eq!(text(response).await, format!("{want}\n"));
    assert!(
        discovery.version("x.io", "v2", &head("")).is_none(),
        "not served"
    );
}

#[tokio::test]
async fn aggregated_discovery_holds_all_groups() {
    let discovery = discovery();
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    let accept = format!("{aggregated},{old},application/json");
    let response = discovery.groups(&head(&accept));
    for (name, value) in [
        ("content-type", aggregated),
        ("vary", "Accept"),
        ("cache-control", "public"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let etag = response.headers()["etag"].clone();
    let body = text(response).await;
    let start = r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[{"metadata":{"name":"x.io"},"versions":[{"version":"v1","resources":[{"resource":"bars","responseKind":{"group":"x.io","version":"v1","kind":"Bar"},"scope":"Cluster","singularResource":"bar","#;
    assert!(body.starts_with(start), "{body}");
    let scale = r#"{"subresource":"scale","responseKind":{"group":"autoscaling","version":"v1","kind":"Scale"},"verbs":["get","patch","update"]}]}],"freshness":"Current"}"#;
    assert!(body.contains(scale), "{body}");

    let mut known = head(&accept);
    known.headers.insert("if-none-match", etag.clone());
    let response = discovery.groups(&known);
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(response.headers()["etag"], etag);
    assert_eq!(text(response).await, "");

    let response = discovery.groups(&head(&format!("{old},application/json")));
    assert_eq!(response.headers()["content-type"], "application/json");
    let response = discovery.groups(&head(old));
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn yaml_and_pretty_are_negotiated() {
    let discovery = discovery();
    let response = discovery.group("x.io", &head("application/yaml")).unwrap();
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let yaml = text(response).await;
    assert!(
        yaml.starts_with("apiVersion: v1\nkind: APIGroup\nname: x.io\npreferredVersion:\n"),
        "{yaml}"
    );
    let response = discovery.core(&head("application/json;pretty=1"));
    let json = text(response).await;
    assert!(
        json.starts_with("{\n  \"kind\": \"APIVersions\",") && json.ends_with('}'),
        "{json}"
    );
}

#[tokio::test]
async fn core_group_has_version_and_no_resources() {
    let discovery = discovery();
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let body = text(discovery.core(&head(aggregated))).await;
    let version =
        r#""items":[{"metadata":{},"versions":[{"version":"v1","freshness":"Current"}]}]}"#;
    assert!(body.ends_with(&format!("{version}\n")), "{body}");
    let body = text(discovery.core_resources(&head(""))).await;
    assert!(
        body.contains(r#""groupVersion":"v1","resources":[]"#),
        "{body}"
    );
}
