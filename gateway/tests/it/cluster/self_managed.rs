//! The self-managed certificate: replicas, rotation, repair, and an unreachable cluster; and the
//! delay of a shutdown, which lets kube-apiserver follow `readyz`.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};

use super::kube_apiserver::KubeApiserver;
use super::server::{Gateway, THINGS, TestServer, authorities, client_config, publish, until};

const V1: &str = "v1.example.com";
const V2: &str = "v2.example.com";
const HOST: &str = "ark.ark-system.svc";
const FLAGS: &str = "--self-managed-tls-secret=ark-system/tls \
    --self-managed-tls-service=ark-system/ark \
    --self-managed-tls-apiservices=v1.example.com,v2.example.com";

fn service() -> Value {
    json!({"namespace": "ark-system", "name": "ark", "port": 443})
}

/// A cluster with an empty Secret and one of the two APIServices.
async fn cluster() -> KubeApiserver {
    let cluster = KubeApiserver::start().await;
    let (users, proxies) = authorities();
    publish(&cluster, &[&users], &[&proxies]);
    cluster.secret(&[]);
    cluster.api_service(V1, &service(), None);
    cluster
}

async fn replica(cluster: &KubeApiserver) -> Gateway {
    let started = Gateway::start(cluster, FLAGS).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until an APIService has the bundle of the Secret.
async fn published(cluster: &KubeApiserver, name: &str) {
    until("the bundle is published", || async {
        let bundle = cluster.ca_bundle(name);
        !bundle.is_empty() && bundle == cluster.secret_value("ca.crt")
    })
    .await;
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Accepts any certificate, as the probes of kubelet do.
#[derive(Debug)]
struct Probe;

impl ServerCertVerifier for Probe {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Status of a request without any verification; 0 if the connection is refused.
async fn probe(gateway: &Gateway, path: &str) -> u16 {
    let config = client_config()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Probe))
        .with_no_client_auth();
    match gateway.connect_with(config, HOST).await {
        Ok(mut client) => client.request(&format!("GET {path}"), &[]).await.code,
        Err(_) => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_one_certificate_that_api_services_trust() {
    let cluster = cluster().await;
    let (one, two) = tokio::join!(replica(&cluster), replica(&cluster));
    published(&cluster, V1).await;
    let bundle = cluster.ca_bundle(V1);
    assert_eq!(bundle.matches("BEGIN").count(), 1);
    let served = der(&cluster.secret_value("tls.crt"));
    for gateway in [&one, &two] {
        until("ready", || async { probe(gateway, "/readyz").await == 200 }).await;
        let mut client = gateway.connect(&bundle, HOST, None).await;
        assert_eq!(client.served, Some(served.clone()));
        assert_eq!(
            client.request("GET /readyz?verbose", &[]).await.text,
            "[+]ping ok\n\
            [+]objects-loaded ok\n[+]storage ok\n[+]serving-certificate ok\n[+]client-authorities ok\n\
            [+]shutdown ok\nreadyz check passed\n"
        );
    }
    let writes = cluster.change(|state| state.writes.clone());
    let only = ["PUT secrets", "PATCH apiservices"];
    assert!(
        writes.iter().all(|it| only.contains(&it.as_str())),
        "{writes:?}"
    );

    cluster.allow("carol");
    cluster.token("carol", "carol");
    let mut client = one.connect(&bundle, HOST, None).await;
    let metrics = client
        .request("GET /metrics", &[("Authorization", "Bearer carol")])
        .await;
    for certificate in ["serving", "self-managed-ca", "client-ca", "front-proxy-ca"] {
        let name = "ark_certificate_expiration_timestamp_seconds";
        let line = format!("{name}{{certificate=\"{certificate}\"}} ");
        let value = metrics
            .text
            .split_once(&line)
            .map(|(_, rest)| rest.lines().next());
        let value: i64 = value
            .flatten()
            .unwrap_or_default()
            .parse()
            .unwrap_or_default();
        let left = value - time::OffsetDateTime::now_utc().unix_timestamp();
        assert!(left > 80 * 24 * 3_600, "{certificate}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_follows_api_services() {
    let cluster = cluster().await;
    let foreign = pki::authority("foreign").unwrap().certificate;
    cluster.api_service(V1, &service(), Some(&foreign));
    cluster.api_service(V2, &Value::Null, None);
    let gateway = replica(&cluster).await;
    published(&cluster, V1).await;
    assert_eq!(cluster.ca_bundle(V2), "", "kube-apiserver serves it itself");
    cluster.api_service(V2, &service(), None);
    published(&cluster, V2).await;
    // Another installer removes it.
    cluster.api_service(V2, &service(), None);
    published(&cluster, V2).await;
    gateway.connect(&cluster.ca_bundle(V2), HOST, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_content_is_restored_and_a_lost_key_rotates() {
    let cluster = cluster().await;
    let gateway = replica(&cluster).await;
    published(&cluster, V1).await;
    let (bundle, certificate) = (cluster.ca_bundle(V1), cluster.secret_value("tls.crt"));
    cluster.secret(&[("tls.crt", "garbage")]);
    until("the content is restored", || async {
        cluster.secret_value("tls.crt") == certificate
    })
    .await;
    assert_eq!(cluster.secret_value("ca.crt"), bundle);

    let (key, tls_key) = (
        cluster.secret_value("ca.key"),
        cluster.secret_value("tls.key"),
    );
    cluster.secret(&[
        ("ca.crt", &bundle),
        ("tls.crt", &certificate),
        ("tls.key", &tls_key),
    ]);
    until(
        "the next authority is published beside the first",
        || async {
            let now = cluster.ca_bundle(V1);
            now.ends_with(&bundle) && now.matches("BEGIN").count() == 2
        },
    )
    .await;
    assert_eq!(
        cluster.secret_value("tls.crt"),
        certificate,
        "not signed again yet"
    );
    assert_ne!(cluster.secret_value("ca.key"), key);
    let client = gateway.connect(&bundle, HOST, None).await;
    assert_eq!(client.served, Some(der(&certificate)));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_another_replica_is_served_without_restart() {
    let cluster = cluster().await;
    let gateway = replica(&cluster).await;
    published(&cluster, V1).await;
    let authority = pki::Pair {
        certificate: cluster.secret_value("ca.crt"),
        key: cluster.secret_value("ca.key"),
    };
    let names = ["", ".cluster.local"].map(|end| format!("{HOST}{end}"));
    let names = [names.as_slice(), &["ark.ark-system".to_owned()]].concat();
    let renewed = pki::serving(&authority, &names).unwrap();
    cluster.secret(&[
        ("ca.crt", &authority.certificate),
        ("ca.key", &authority.key),
        ("tls.crt", &renewed.certificate),
        ("tls.key", &renewed.key),
    ]);
    until("it is served", || async {
        let client = gateway.connect(&authority.certificate, HOST, None).await;
        client.served == Some(der(&renewed.certificate))
    })
    .await;
    assert_eq!(cluster.secret_value("tls.crt"), renewed.certificate);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_is_alive_and_not_ready_until_its_secret_is_readable() {
    let mut cluster = cluster().await;
    cluster.stop().await;
    let gateway = replica(&cluster).await;
    assert_eq!(probe(&gateway, "/livez").await, 200);
    assert_eq!(probe(&gateway, "/readyz").await, 500);
    cluster.change(|state| state.forbidden.insert("secrets"));
    cluster.restart().await;
    until("an update is tried", || async {
        cluster.change(|state| !state.writes.is_empty())
    })
    .await;
    assert_eq!(probe(&gateway, "/readyz").await, 500);
    cluster.change(|state| state.forbidden.clear());
    until("ready", || async {
        probe(&gateway, "/readyz").await == 200
    })
    .await;
    published(&cluster, V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_served_during_the_shutdown_delay() {
    let cluster = cluster().await;
    let flags = format!("{FLAGS} --shutdown-delay-duration 5s");
    let started = Gateway::start(&cluster, &flags).await;
    let mut gateway = started.unwrap_or_else(|error| panic!("{error}"));
    published(&cluster, V1).await;
    until("ready", || async {
        probe(&gateway, "/readyz").await == 200
    })
    .await;
    gateway.stop.cancel();
    until("not ready", || async {
        probe(&gateway, "/readyz").await == 500
    })
    .await;
    assert_eq!(probe(&gateway, "/livez").await, 200);
    gateway.ended().await;
    assert_eq!(probe(&gateway, "/livez").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_continues_during_the_shutdown_delay() {
    let server = TestServer::new("--shutdown-delay-duration 2s").await;
    let mut bob = server.user("bob", None).await;
    let request = format!("GET {THINGS}?watch=1&resourceVersion=0");
    let watching = bob.request(&request, &[]);
    let began = tokio::time::Instant::now();
    let stopping = async { server.gateway.stop.cancel() };
    let (response, ()) = tokio::join!(watching, stopping);
    assert_eq!(response.code, 200);
    assert!(began.elapsed() >= std::time::Duration::from_secs(2));
}
