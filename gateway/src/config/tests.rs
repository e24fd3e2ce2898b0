//! Flags as they are typed.

use std::path::Path;
use std::time::Duration;

use clap::Parser as _;

use super::kinds::default_names;
use super::*;
use crate::app::Upstream;

/// The flags of `serve`.
#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    serve: Serve,
}

fn serve(line: &str) -> Serve {
    let line = format!("serve --tls-cert-file c --tls-private-key-file k {line}");
    Line::parse_from(line.split_whitespace()).serve
}

#[tokio::test]
async fn config_without_client_authority_is_rejected() {
    let server = serve("--backend unix:///x").server().unwrap();
    let error = Upstream::configure(&server).await.unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("no client authority"), "{error}");
    let server = serve("--backend unix:///x --client-ca-file ca")
        .server()
        .unwrap();
    assert!(server.tls.request_header_ca.is_none());
    assert_eq!((server.max_reads, server.max_writes), (400, 200));
}

#[test]
fn front_proxy_flags_set_headers_and_names() {
    let line = "--backend unix:///x --requestheader-client-ca-file ca \
        --requestheader-allowed-names a,b --requestheader-extra-headers-prefix X-Some-";
    let server = serve(line).server().unwrap();
    let headers = server.tls.request_headers;
    assert_eq!(headers.allowed_names, ["a", "b"]);
    assert_eq!(headers.username, ["x-remote-user"]);
    assert_eq!(headers.extra_prefix, ["x-some-"]);
    assert!(headers.uid.is_empty(), "only if it is configured");
    let line = "--backend unix:///x --requestheader-client-ca-file ca \
        --requestheader-group-headers a{b";
    let error = serve(line).server().unwrap_err().to_string();
    assert_eq!(
        error,
        "--requestheader-group-headers: \"a{b\" is not a valid header name"
    );
}

#[test]
fn delegation_flags_have_defaults_of_kube_apiserver() {
    let delegation = |flags: &str| {
        let server = serve(&format!("--backend unix:///x {flags}")).server();
        server.map(|server| server.delegation)
    };
    let default = delegation("").unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(default.token_ttl, seconds(10));
    assert_eq!(default.decision_ttl.authorized, seconds(10));
    assert_eq!(default.decision_ttl.unauthorized, seconds(10));
    assert!(!default.skip_lookup && !default.tolerate_lookup_failure);
    assert!(!default.trust_front_proxy);
    let given = delegation(
        "--kubeconfig k --authorization-kubeconfig z --authentication-skip-lookup \
         --authentication-tolerate-lookup-failure=false --authorization-trust-front-proxy=true \
         --authorization-webhook-cache-unauthorized-ttl 1m30s",
    );
    let given = given.unwrap();
    assert_eq!(given.kubeconfigs.core.as_deref(), Some(Path::new("k")));
    assert_eq!(given.kubeconfigs.authentication, None);
    assert!(given.skip_lookup && given.trust_front_proxy && !given.tolerate_lookup_failure);
    assert_eq!(given.decision_ttl.unauthorized, seconds(90));
    let error = delegation("--authorization-always-allow-paths /a*b").unwrap_err();
    assert_eq!(
        error.to_string(),
        "--authorization-always-allow-paths: only trailing * allowed in \"a*b\""
    );
}

#[tokio::test]
async fn self_managed_certificate_replaces_files_and_needs_a_cluster() {
    let parse = |flags: &str| {
        let line = format!("serve --backend unix:///x --client-ca-file ca {flags}");
        Line::try_parse_from(line.split_whitespace())
    };
    let flags = "--self-managed-tls-secret ark-system/tls \
        --self-managed-tls-service ark-system/ark --self-managed-tls-apiservices ";
    let server = parse(&format!("{flags} v1.x.io,v1.y.io")).unwrap();
    let server = server.serve.server().unwrap();
    assert!(server.tls.serving.is_none());
    assert_eq!(server.shutdown_delay, Duration::from_secs(15));
    let managed = server.self_managed.clone().unwrap();
    assert_eq!(managed.api_services, ["v1.x.io", "v1.y.io"]);
    assert_eq!(
        managed.host_names(),
        [
            "ark.ark-system.svc",
            "ark.ark-system.svc.cluster.local",
            "ark.ark-system"
        ]
    );
    let error = Upstream::configure(&server).await.unwrap_err().to_string();
    assert!(
        error.contains("needs a cluster: set --kubeconfig"),
        "{error}"
    );
    let error = parse(&format!("{flags} queries"))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("VERSION.GROUP"), "{error}");
    assert!(parse(&format!("{flags} v1.x.io --tls-cert-file c")).is_err());
    assert!(parse("").is_err());
}

#[test]
fn backend_requires_socket_or_mutual_tls() {
    for (backend, part) in [
        (
            "--backend http://x",
            "must be unix:///PATH, or https://HOST:PORT",
        ),
        (
            "--backend https://x --backend-ca /no/ca --backend-cert c --backend-key k",
            "--backend-ca: cannot read /no/ca: ",
        ),
    ] {
        let error = serve(&format!("--client-ca-file ca {backend}")).server();
        let error = error.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn compiled_in_kinds_match_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kinds/ark");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("kinds/ark/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    names.sort();
    assert_eq!(default_names(), names);
}

#[test]
fn given_manifests_replace_compiled_in_ones() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = |flags: &str| {
        let resources = directory.path().display();
        let line = format!("--backend unix:///x --resources {resources} {flags}");
        serve(&line).kinds
    };
    let manifest = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, \
        metadata: {name: queries.ark.mckinsey.com}, spec: {group: ark.mckinsey.com, \
        scope: Cluster, names: {plural: queries, kind: Query}, versions: [{name: v1alpha1, \
        served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}";
    std::fs::write(directory.path().join("q.yaml"), manifest).unwrap();
    let catalog = kinds("").load().unwrap();
    assert_eq!(catalog.resources().count(), default_names().len());
    assert!(
        !catalog
            .get("ark.mckinsey.com", "queries")
            .unwrap()
            .namespaced()
    );
    let catalog = kinds("--no-default-resources").load().unwrap();
    assert_eq!(catalog.resources().count(), 1);

    std::fs::write(
        directory.path().join("q.yaml"),
        "kind: Pod\napiVersion: v1\n",
    )
    .unwrap();
    let error = kinds("").load().unwrap_err().to_string();
    assert!(
        error.ends_with(
            "q.yaml: Pod of v1 is not a CustomResourceDefinition of apiextensions.k8s.io/v1"
        ),
        "{error}"
    );
    let none = serve("--backend unix:///x --no-default-resources").kinds;
    assert!(matches!(none.load(), Err(Error::NoKinds)));
}
