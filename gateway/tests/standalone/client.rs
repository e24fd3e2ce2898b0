//! A client as far as these tests need one: one request per connection.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A server, and who asks it.
#[derive(Clone)]
pub(crate) struct Client {
    address: String,
    host: String,
    config: Arc<ClientConfig>,
    anonymous: Arc<ClientConfig>,
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
        }
    }

    /// The same server, asked by nobody in particular.
    pub(crate) fn anonymous(&self) -> Self {
        Self {
            config: self.anonymous.clone(),
            ..self.clone()
        }
    }

    /// The port of the server.
    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }

    /// Status and body of the answer to a `GET`.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        let asked = tokio::time::timeout(Duration::from_secs(10), self.ask(path));
        asked.await.unwrap().unwrap()
    }

    /// Whether the server says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        self.get("/readyz").await.0 == StatusCode::OK
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, String), hyper::Error> {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let connector = TlsConnector::from(self.config.clone());
        let stream = connector.connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(path).header("host", &self.host);
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            drop(sender);
            Ok((status, String::from_utf8(body.to_vec()).unwrap()))
        };
        let (answer, ended) = tokio::join!(answer, connection);
        // A server that does not say goodbye to TLS has answered all the same.
        drop(ended);
        answer
    }
}
