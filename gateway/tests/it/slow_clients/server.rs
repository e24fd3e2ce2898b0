//! A server with a stub behind its chain, and misbehaving clients.

use std::sync::Arc;
use std::time::Duration;

use api_types::request_info::{RequestInfo, Verb};
use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use gateway::app::{App, Build, Io, Process};
use gateway::authz::Permit;
use gateway::request::Context;
use gateway::resources::Catalog;
use gateway::serving::Limits;
use gateway::serving::limits::Settings;
use gateway::stack::Inner;
use h2::client::{Builder, SendRequest};
use http::{Request, Response};
use pki::Pair;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::flags;

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
    authority: Pair,
    _running: JoinSet<()>,
    _files: tempfile::TempDir,
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
        let authority = pki::authority("ca").unwrap();
        let serving = pki::serving(&authority, &["localhost".to_owned()]).unwrap();
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let flags = format!(
            "--backend unix:///nowhere --tls-cert-file {} --tls-private-key-file {} \
             --client-ca-file {}",
            file("server.crt", &serving.certificate),
            file("server.key", &serving.key),
            file("ca.crt", &authority.certificate),
        );
        let config = flags::config(&flags).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let process = Process {
            connections: tokio::runtime::Handle::current(),
            descriptors: 1_024,
            build: Build::default(),
        };
        let app = App::builder(config, Catalog::default()).with_limits(settings);
        let stub = Stub(Bytes::from(vec![b'x'; LARGE]));
        let app = app.build_with(stub, Io::new(listener, process).unwrap());
        let app = app.unwrap();
        let limits = app.stack().limits.clone();
        let mut running = JoinSet::new();
        running.spawn(async move {
            app.run(CancellationToken::new()).await.unwrap();
        });
        Self {
            limits,
            address,
            authority,
            _running: running,
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
        let pem = self.authority.certificate.as_bytes();
        roots
            .add(CertificateDer::from_pem_slice(pem).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let pair = pki::client(&self.authority, name, group).unwrap();
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
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
    pub(crate) async fn until_unsent(&self, most: usize) {
        let deadline = tokio::time::Instant::now() + SOON;
        while self.limits.unsent_bytes() > most {
            let bytes = self.limits.unsent_bytes();
            assert!(tokio::time::Instant::now() < deadline, "still {bytes}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
