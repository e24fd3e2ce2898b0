//! Minimal HTTP client for these tests: one request per connection.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Builder;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::TaskTracker;

/// Timeout of a response and of a watch event.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A server address and the identity that requests are sent with.
#[derive(Clone)]
pub(crate) struct Client {
    address: String,
    host: String,
    config: Arc<ClientConfig>,
    anonymous: Arc<ClientConfig>,
    /// Tasks that drive connections.
    connections: TaskTracker,
}

/// An open watch.
pub(crate) struct Watch {
    body: Incoming,
    /// Received bytes without a complete line.
    read: Vec<u8>,
}

impl Client {
    /// The user and server of a kubeconfig.
    pub(crate) fn of_kubeconfig(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let field = |name: &str| {
            let mut lines = text.lines().map(str::trim);
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.unwrap_or_else(|| panic!("{name} in {text}"))
        };
        let pem = |name| STANDARD.decode(field(name)).unwrap();
        let mut roots = RootCertStore::empty();
        let authority = pem("certificate-authority-data");
        roots
            .add(CertificateDer::from_pem_slice(&authority).unwrap())
            .unwrap();
        let certificate = CertificateDer::from_pem_slice(&pem("client-certificate-data")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&pem("client-key-data")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots.clone())
        };
        let config = builder().with_client_auth_cert(vec![certificate], key);
        let address = field("server").strip_prefix("https://").unwrap();
        Self {
            host: address.rsplit_once(':').unwrap().0.to_owned(),
            address: address.to_owned(),
            config: Arc::new(config.unwrap()),
            anonymous: Arc::new(builder().with_no_client_auth()),
            connections: TaskTracker::new(),
        }
    }

    /// The same server, without a client certificate.
    pub(crate) fn anonymous(&self) -> Self {
        Self {
            config: self.anonymous.clone(),
            ..self.clone()
        }
    }

    /// The same server, whose certificate must be for this name.
    pub(crate) fn under_name(&self, name: &str) -> Self {
        Self {
            host: name.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }

    /// Status and body of the response to a `GET`.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        self.send("GET", path, "").await.unwrap()
    }

    /// Whether `/readyz` succeeds.
    pub(crate) async fn is_ready(&self) -> bool {
        self.get("/readyz").await.0 == StatusCode::OK
    }

    /// Sends JSON; `MERGE` is a merge patch. None if connecting failed or the connection broke
    /// before the response.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Option<(StatusCode, String)> {
        let (method, content_type) = match method {
            "MERGE" => ("PATCH", "application/merge-patch+json"),
            method => (method, "application/json"),
        };
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", content_type);
        self.response(request, body.into()).await
    }

    /// Sends a request; none if connecting failed or the connection broke before the response.
    pub(crate) async fn response(
        &self,
        request: Builder,
        body: Bytes,
    ) -> Option<(StatusCode, String)> {
        let response = self.respond(request, body).await?;
        Some((response.status(), response.into_body()))
    }

    /// As [`Self::response`], with headers.
    pub(crate) async fn respond(&self, request: Builder, body: Bytes) -> Option<Response<String>> {
        let request = request.header("host", &self.host);
        let request = request.body(Full::new(body)).unwrap();
        let response = tokio::time::timeout(REQUEST_TIMEOUT, async {
            let (head, body) = self.open(request).await?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            Some(Response::from_parts(head, body))
        });
        response.await.unwrap()
    }

    /// Opens a watch, which ends with its connection.
    pub(crate) async fn watch(&self, path: &str) -> Watch {
        let watch = self.try_watch(path).await.expect("a connection");
        watch.unwrap_or_else(|status| panic!("{path}: {status}"))
    }

    /// Opens a watch, or returns the status of its rejection; none if the connection broke first.
    pub(crate) async fn try_watch(&self, path: &str) -> Option<Result<Watch, StatusCode>> {
        let request = Request::get(path).header("host", &self.host);
        let opening = self.open(request.body(Full::default()).unwrap());
        let response = tokio::time::timeout(REQUEST_TIMEOUT, opening)
            .await
            .unwrap()?;
        let status = response.status();
        let watch = Watch {
            body: response.into_body(),
            read: Vec::new(),
        };
        Some((status == StatusCode::OK).then_some(watch).ok_or(status))
    }

    /// Sends a request on a connection of its own. A task drives the connection while the body is
    /// read.
    async fn open(&self, request: Request<Full<Bytes>>) -> Option<Response<Incoming>> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .ok()?;
        self.connections.spawn(connection);
        sender.send_request(request).await.ok()
    }

    /// A TLS connection for hand-written HTTP/1.1.
    pub(crate) async fn connect(&self) -> Option<TlsStream<TcpStream>> {
        self.connect_with(self.config.clone()).await
    }

    /// A TLS connection that negotiated HTTP/2.
    pub(crate) async fn connect_http2(&self) -> Option<TlsStream<TcpStream>> {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        self.connect_with(Arc::new(config)).await
    }

    async fn connect_with(&self, config: Arc<ClientConfig>) -> Option<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        let name = ServerName::try_from(self.host.clone()).unwrap();
        TlsConnector::from(config).connect(name, stream).await.ok()
    }
}

impl Watch {
    /// The next event; none at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let line = std::mem::replace(&mut self.read, rest);
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(REQUEST_TIMEOUT, self.body.frame()).await;
            let frame = frame.unwrap()?.ok()?;
            self.read.extend_from_slice(&frame.into_data().unwrap());
        }
    }
}
