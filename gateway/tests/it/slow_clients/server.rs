//! A server with a stub behind its chain, and misbehaving clients.

use std::sync::Arc;
use std::time::Duration;

use api_types::request_info::{RequestInfo, Verb};
use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use gateway::auth::{Authenticators, Certificates, RequestHeaders};
use gateway::authz::{Authorizers, Permit};
use gateway::request::Context;
use gateway::serving::cert_reload::Reloader;
use gateway::serving::limits::Settings;
use gateway::serving::{Bounds, Lifecycle, Limits, Server, tls};
use gateway::stack::{Inner, Stack};
use gateway::telemetry::Metrics;
use h2::client::{Builder, SendRequest};
use http::{Request, Response};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Upper bound for every step here.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// Bytes of the large object.
pub(crate) const LARGE: usize = 1_500_000;
/// Path of the stub's objects.
pub(crate) const FOOS: &str = "/apis/x.io/v1/namespaces/d/foos";

/// A running server; stops when dropped.
pub(crate) struct TestServer {
    pub(crate) limits: Limits,
    address: std::net::SocketAddr,
    authority: Authority,
    tasks: JoinSet<()>,
    _files: tempfile::TempDir,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// Bytes of an object that exceeds every socket buffer.
pub(crate) const HUGE: usize = 16_000_000;

/// Responds by name: `large`, `huge`, `hold`, any other; and to lists and watches.
struct Stub(Bytes);

/// An HTTP/2 connection and the task that drives it.
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    _driver: JoinSet<()>,
}

impl TestServer {
    pub(crate) async fn new(settings: Settings) -> Self {
        let authority = Authority::new();
        let files = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.sign("localhost", None);
        let path = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificates = Reloader::new(tls::Files {
            serving: Some(tls::ServingFiles {
                certificate: path("server.crt", &certificate),
                private_key: path("server.key", &key),
            }),
            client_ca: Some(path("ca.crt", &authority.pem)),
            request_header_ca: None,
            request_headers: RequestHeaders::default(),
        });
        let certificates = certificates.unwrap();
        let limits = Limits::with(settings);
        let stack = Stack {
            authenticators: Authenticators::of_certificates(Certificates::new(
                certificates.trust(),
            )),
            authorizers: Authorizers::built_in(),
            limits: limits.clone(),
            lifecycle: Lifecycle::new(),
            metrics: Metrics::new(),
            inner: Stub(Bytes::from(vec![b'x'; LARGE])),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server {
            listener,
            tls: certificates.config(),
            service: Arc::new(stack),
            lifecycle: Lifecycle::new(),
            bounds: Bounds::of_descriptors(1_024),
            connections: tokio::runtime::Handle::current(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run());
        Self {
            limits,
            address,
            authority,
            tasks,
            _files: files,
        }
    }

    /// A connection with the administrator's certificate.
    pub(crate) async fn connect(&self, alpn: &[u8]) -> TlsStream<tokio::net::TcpStream> {
        self.connect_as("admin", Some("system:masters"), alpn).await
    }

    pub(crate) async fn connect_as(
        &self,
        name: &str,
        group: Option<&str>,
        alpn: &[u8],
    ) -> TlsStream<tokio::net::TcpStream> {
        let mut roots = RootCertStore::empty();
        let pem = self.authority.pem.as_bytes();
        roots
            .add(CertificateDer::from_pem_slice(pem).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let (certificate, key) = self.authority.sign(name, group);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = builder
            .with_client_auth_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        let socket = TcpSocket::new_v4().unwrap();
        // Limits the kernel buffer, so that unread bytes stay in the server.
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }

    /// An HTTP/2 connection with this initial stream window.
    pub(crate) async fn http2(&self, window: u32) -> Connection {
        self.http2_as("admin", Some("system:masters"), window).await
    }

    pub(crate) async fn http2_as(
        &self,
        name: &str,
        group: Option<&str>,
        window: u32,
    ) -> Connection {
        let stream = self.connect_as(name, group, b"h2").await;
        let mut builder = Builder::new();
        builder.initial_window_size(window);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        Connection {
            sender,
            _driver: driver,
        }
    }

    /// Waits until at most this many bytes are unsent.
    pub(crate) async fn owes(&self, most: usize) {
        let deadline = tokio::time::Instant::now() + SOON;
        while self.limits.unsent_bytes() > most {
            let bytes = self.limits.unsent_bytes();
            assert!(tokio::time::Instant::now() < deadline, "still {bytes}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

impl Connection {
    /// Sends a request without a body, and waits for the response head.
    pub(crate) async fn get(&self, path: &str) -> Response<h2::RecvStream> {
        let request = Request::get(format!("https://localhost{path}"));
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (response, _) = sender
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        let response = tokio::time::timeout(SOON, response).await;
        response.expect("in time").unwrap()
    }
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "ca");
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Certificate and key of a server or a user.
    fn sign(&self, name: &str, group: Option<&str>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

impl Inner for Stub {
    async fn handle(
        &self,
        _: Permit,
        info: RequestInfo,
        _: Context,
        _: Request<Body>,
    ) -> Response<Body> {
        match (&info.verb, info.name.as_str()) {
            (_, "large") => Response::new(Body::from(self.0.clone())),
            (_, "huge") => Response::new(Body::from(vec![b'x'; HUGE])),
            (_, "hold") => std::future::pending().await,
            (Verb::List, _) => {
                let piece = self.0.slice(..128 << 10);
                let pieces = stream::repeat(piece).take(100).map(Ok::<_, axum::Error>);
                Response::new(Body::from_stream(pieces))
            }
            (Verb::Watch, _) => {
                let event = self.0.slice(..100 << 10);
                let event = stream::iter([Ok::<_, axum::Error>(event)]);
                Response::new(Body::from_stream(event.chain(stream::pending())))
            }
            _ => Response::new(Body::from("small")),
        }
    }

    fn serves(&self, _: &RequestInfo) -> bool {
        true
    }
}
