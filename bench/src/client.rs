//! HTTP/2 over TLS with direct control of connections and frames.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::kubeconfig::Endpoint;

/// Timeout of one response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
/// Receive windows, large so that flow control of the client does not limit the server.
const WINDOW: u32 = 4 << 20;

/// Connections to one server; callers choose one by number.
pub struct Client {
    authority: String,
    connections: Vec<SendRequest<Full<Bytes>>>,
    /// Tasks that drive the connections; aborted on drop.
    _drivers: JoinSet<()>,
}

/// A complete response.
pub struct FullResponse {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
}

impl Client {
    /// Opens `connections` connections.
    pub async fn connect(endpoint: &Endpoint, connections: usize) -> Result<Self> {
        let tls = TlsConnector::from(Arc::new(tls_config(endpoint)?));
        let mut drivers = JoinSet::new();
        let mut senders = Vec::with_capacity(connections);
        for _ in 0..connections {
            let tcp = TcpStream::connect(&endpoint.authority)
                .await
                .context("connect")?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from(endpoint.host.clone())?;
            let stream = tls.connect(name, tcp).await.context("TLS handshake")?;
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW * 4)
                .handshake(TokioIo::new(stream))
                .await?;
            drivers.spawn(async move {
                // A connection error also fails the requests on it, so the result is dropped.
                let _ = connection.await;
            });
            senders.push(sender);
        }
        Ok(Self {
            authority: endpoint.authority.clone(),
            connections: senders,
            _drivers: drivers,
        })
    }

    /// Sends a request on connection `lane` and returns the response's head and body stream.
    pub async fn open(
        &self,
        lane: usize,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.authority))
            .header("accept", "application/json");
        for (name, value) in headers {
            let map = request.headers_mut().context("a header")?;
            map.insert(http::HeaderName::try_from(*name)?, value.parse()?);
        }
        let mut sender = self.connections[lane % self.connections.len()].clone();
        sender.ready().await?;
        Ok(sender.send_request(request.body(Full::new(body))?).await?)
    }

    /// Sends a request and reads the whole response.
    pub async fn call(
        &self,
        lane: usize,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<FullResponse> {
        let whole = async {
            let response = self.open(lane, method, path, headers, body).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok(FullResponse { status, body })
        };
        match tokio::time::timeout(RESPONSE_TIMEOUT, whole).await {
            Ok(response) => response,
            Err(_) => bail!("{path}: no response within {RESPONSE_TIMEOUT:?}"),
        }
    }

    /// GET that must have status 200.
    pub async fn get(&self, lane: usize, path: &str) -> Result<Bytes> {
        self.get_as(lane, path, "application/json").await
    }

    /// GET with an Accept header that must have status 200.
    pub async fn get_as(&self, lane: usize, path: &str, accept: &str) -> Result<Bytes> {
        let response = self
            .call(lane, Method::GET, path, &[("accept", accept)], Bytes::new())
            .await?;
        ensure!(
            response.status == StatusCode::OK,
            "GET {path}: {}",
            describe(&response)
        );
        Ok(response.body)
    }

    /// A write that must succeed.
    pub async fn write(
        &self,
        lane: usize,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Bytes> {
        let headers = [("content-type", content_type)];
        let response = self
            .call(lane, method.clone(), path, &headers, body)
            .await?;
        ensure!(
            response.status.is_success(),
            "{method} {path}: {}",
            describe(&response)
        );
        Ok(response.body)
    }
}

/// Status and the beginning of the body, for messages.
pub fn describe(response: &FullResponse) -> String {
    let text = String::from_utf8_lossy(&response.body[..response.body.len().min(300)]);
    format!("{} {text}", response.status)
}

fn tls_config(endpoint: &Endpoint) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in &endpoint.ca {
        roots.add(certificate.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(endpoint.certificate.clone(), endpoint.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
