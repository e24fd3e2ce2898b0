//! Combinations of certificates and identity headers.

use std::net::SocketAddr;

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::*;
use crate::auth::{Bundle, FrontProxies, RequestHeaders, Trust};
use pki::Pair;

struct Fixture {
    users: Pair,
    proxies: Pair,
    trust: Arc<ArcSwap<Trust>>,
    authenticators: Authenticators,
}

fn fixture(allowed_names: &[&str]) -> Fixture {
    let (users, proxies) = (
        pki::authority("users").unwrap(),
        pki::authority("proxies").unwrap(),
    );
    let bundle = |pair: &Pair| Some(Bundle::from_pem(pair.certificate.as_bytes()).unwrap());
    let trust = Trust {
        clients: bundle(&users),
        front_proxies: None,
    };
    let headers = RequestHeaders {
        allowed_names: allowed_names.iter().map(|&name| name.to_owned()).collect(),
        ..RequestHeaders::default()
    };
    let trust = Trust {
        front_proxies: bundle(&proxies).map(|authority| FrontProxies { authority, headers }),
        ..trust
    };
    let trust = Arc::new(ArcSwap::from_pointee(trust));
    let certificates = Certificates::new(Arc::clone(&trust));
    let authenticators = Authenticators::of_certificates(certificates);
    Fixture {
        users,
        proxies,
        trust,
        authenticators,
    }
}

fn peer(certificate: Option<&Pair>) -> Peer {
    let der = |pair: &Pair| CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    Peer::new(address, certificate.map(der).into_iter().collect())
}

impl Fixture {
    /// The user, or the error.
    async fn ask(
        &self,
        certificate: Option<&Pair>,
        headers: &[(&str, &str)],
        path: &str,
    ) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let decided = self
            .authenticators
            .authenticate(&peer(certificate), &mut map, path)
            .await;
        match decided {
            Ok(user) => {
                assert!(
                    map.is_empty(),
                    "credentials are taken off the request: {map:?}"
                );
                format!("{} {}", user.name, user.groups.join(","))
            }
            Err(Error::All(errors)) => {
                let shown: Vec<String> = errors.iter().map(shown).collect();
                shown.join(" and ")
            }
            Err(error) => shown(&error),
        }
    }
}

/// The error without the text of rustls.
fn shown(error: &Error) -> String {
    match error {
        Error::Untrusted(_) => "untrusted".to_owned(),
        error => error.to_string(),
    }
}

#[tokio::test]
async fn client_certificate_yields_user() {
    let fixture = fixture(&[]);
    let bob = pki::client(&fixture.users, "bob", Some("dev")).unwrap();
    assert_eq!(
        fixture.ask(Some(&bob), &[], "/x").await,
        "bob dev,system:authenticated"
    );
    let user = fixture
        .authenticators
        .authenticate(&peer(Some(&bob)), &mut HeaderMap::new(), "/x")
        .await;
    let extra = &user.unwrap().extra["authentication.kubernetes.io/credential-id"];
    assert!(extra[0].starts_with("X509SHA256="), "{extra:?}");
}

#[tokio::test]
async fn identity_headers_are_ignored_without_front_proxy_certificate() {
    let fixture = fixture(&["front-proxy-client"]);
    let bob = pki::client(&fixture.users, "bob", None).unwrap();
    let proxy = pki::client(&fixture.proxies, "front-proxy-client", None).unwrap();
    let other = pki::client(&fixture.proxies, "other", None).unwrap();
    let forged = pki::client(&fixture.users, "front-proxy-client", None).unwrap();
    let alice = [
        ("X-Remote-User", "alice"),
        ("X-Remote-Group", "system:masters"),
    ];

    let masters = "alice system:masters,system:authenticated";
    assert_eq!(fixture.ask(Some(&proxy), &alice, "/x").await, masters);
    assert_eq!(fixture.ask(None, &alice, "/x").await, "no credentials");
    assert_eq!(
        fixture.ask(Some(&other), &alice, "/x").await,
        "x509: subject with cn=other is not in the allowed list and untrusted"
    );
    for user in [&bob, &forged] {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", "alice".parse().unwrap());
        let user = fixture
            .authenticators
            .authenticate(&peer(Some(user)), &mut headers, "/x")
            .await;
        assert_ne!(user.unwrap().name, "alice");
    }
    assert_eq!(
        fixture.ask(Some(&proxy), &[], "/x").await,
        "untrusted",
        "a proxy is no user itself"
    );
}

#[tokio::test]
async fn unknown_certificate_reaches_health_paths_only() {
    let fixture = fixture(&[]);
    let nobody = "system:anonymous system:unauthenticated";
    assert_eq!(fixture.ask(None, &[], "/readyz").await, nobody);
    assert_eq!(
        fixture.ask(None, &[], "/readyz/ping").await,
        "no credentials"
    );
    assert_eq!(
        fixture
            .ask(None, &[("X-Remote-User", "root")], "/version")
            .await,
        "no credentials"
    );
    let stranger = pki::client(&pki::authority("x").unwrap(), "root", None).unwrap();
    assert_eq!(
        fixture.ask(Some(&stranger), &[], "/readyz").await,
        "untrusted and untrusted"
    );
}

#[tokio::test]
async fn new_authorities_apply_to_open_connections() {
    let fixture = fixture(&[]);
    let bob = peer(Some(&pki::client(&fixture.users, "bob", None).unwrap()));
    let ask = async || {
        let mut headers = HeaderMap::new();
        let user = fixture
            .authenticators
            .authenticate(&bob, &mut headers, "/x");
        user.await
    };
    assert!(ask().await.is_ok());
    fixture.trust.store(Arc::new(Trust::default()));
    assert!(matches!(ask().await, Err(Error::Anonymous)));
}
