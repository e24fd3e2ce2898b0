//! The server under test, configured by its flags, and clients with and without certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use gateway::app::{self, App, Io, Process, Upstream};
use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pki::Pair;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::kube_apiserver::KubeApiserver;
use crate::fake::Fake;
use crate::flags;

/// Upper bound for every step here.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// A collection in a namespace that exists.
pub(crate) const THINGS: &str = "/apis/example.com/v1/namespaces/a/things";

/// A cluster and a server behind it; both stop when dropped.
pub(crate) struct TestServer {
    pub(crate) cluster: KubeApiserver,
    /// Signs users.
    pub(crate) users: Pair,
    /// Signs front proxies.
    pub(crate) proxies: Pair,
    pub(crate) gateway: Gateway,
    serving: Pair,
    _files: tempfile::TempDir,
}

/// The server without certificates of its own; stops when dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    /// Starts the drain.
    pub(crate) stop: CancellationToken,
    running: JoinSet<()>,
    _fake: Fake,
}

/// One connection.
pub(crate) struct Client {
    sender: http1::SendRequest<Body>,
    /// The certificate of the server.
    pub(crate) served: Option<CertificateDer<'static>>,
    _driver: JoinSet<()>,
}

/// A response; the body is `Null` if it is not JSON.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) code: u16,
    pub(crate) text: String,
    pub(crate) json: Value,
    /// The `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

impl TestServer {
    /// With both authorities in the ConfigMap, front proxies named `aggregator`, and the user bob
    /// allowed.
    pub(crate) async fn new(flags: &str) -> Self {
        let (users, proxies) = authorities();
        let cluster = KubeApiserver::start().await;
        publish(&cluster, &[&users], &[&proxies]);
        cluster.allow("bob");
        let server = Self::over(cluster, (users, proxies), flags).await;
        server.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn over(
        cluster: KubeApiserver,
        (users, proxies): (Pair, Pair),
        flags: &str,
    ) -> Result<Self, app::Error> {
        let files = tempfile::tempdir().unwrap();
        let serving = pki::authority("serving").unwrap();
        let pair = pki::serving(&serving, &["127.0.0.1".to_owned()]).unwrap();
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let flags = format!(
            "--tls-cert-file {} --tls-private-key-file {} {flags}",
            file("tls.crt", &pair.certificate),
            file("tls.key", &pair.key),
        );
        Ok(Self {
            gateway: Gateway::start(&cluster, &flags).await?,
            cluster,
            users,
            proxies,
            serving,
            _files: files,
        })
    }

    /// A connection with a certificate.
    pub(crate) async fn connect(&self, certificate: Option<&Pair>) -> Client {
        let serving = &self.serving.certificate;
        self.gateway
            .connect(serving, "127.0.0.1", certificate)
            .await
    }

    /// A connection of a user with a certificate.
    pub(crate) async fn user(&self, name: &str, group: Option<&str>) -> Client {
        let pair = pki::client(&self.users, name, group).unwrap();
        self.connect(Some(&pair)).await
    }

    /// A connection of a front proxy with this common name.
    pub(crate) async fn proxy(&self, name: &str) -> Client {
        let pair = pki::client(&self.proxies, name, None).unwrap();
        self.connect(Some(&pair)).await
    }

    /// One request with a token, on a connection of its own.
    pub(crate) async fn with_token(&self, token: &str, line: &str) -> TestResponse {
        let header = format!("Bearer {token}");
        let mut client = self.connect(None).await;
        client.request(line, &[("Authorization", &header)]).await
    }
}

impl Gateway {
    /// A server behind the cluster, whose objects are loaded.
    pub(crate) async fn start(cluster: &KubeApiserver, flags: &str) -> Result<Self, app::Error> {
        // Fails if a test before has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let fake = Fake::new();
        let flags = format!(
            "--backend {} {} --kubeconfig {} {flags}",
            fake.endpoint(),
            flags::kinds("writes/kinds.yaml"),
            cluster.kubeconfig(),
        );
        let config = flags::config(&flags)?;
        let catalog = config.kinds.load()?;
        let upstream = Upstream::configure(&config).await?;
        upstream.look_up(&config.delegation).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let process = Process {
            connections: Handle::current(),
            descriptors: 1_024,
            build: gateway::app::Build::default(),
        };
        let app = App::builder(config, catalog).behind(upstream);
        let app = app.build(Io::new(listener, process)?)?;
        let mut phase = app.phase();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let stopped = stop.clone();
        running.spawn(async move {
            if let Err(error) = app.run(stopped).await {
                panic!("{error}");
            }
        });
        let ready = phase.wait_for(|phase| *phase == gateway::store::Phase::Ready);
        tokio::time::timeout(SOON, ready).await.unwrap().unwrap();
        Ok(Self {
            address,
            stop,
            running,
            _fake: fake,
        })
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(&mut self) {
        let ended = tokio::time::timeout(SOON, self.running.join_next()).await;
        ended.expect("ends").expect("a task").expect("no panic");
    }

    /// A connection that verifies the server by a PEM bundle.
    pub(crate) async fn connect(
        &self,
        bundle: &str,
        name: &'static str,
        certificate: Option<&Pair>,
    ) -> Client {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let builder = client_config().with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                let config = builder.with_client_auth_cert(vec![der(pair)], key);
                config.unwrap()
            }
        };
        self.connect_with(config, name).await.unwrap()
    }

    /// A connection with this configuration.
    ///
    /// # Errors
    /// If the handshake fails.
    pub(crate) async fn connect_with(
        &self,
        config: ClientConfig,
        name: &'static str,
    ) -> std::io::Result<Client> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await?;
        let served = stream.get_ref().1.peer_certificates();
        let served = served.and_then(|chain| chain.first()).cloned();
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let _ = driver.await;
        });
        Ok(Client {
            sender,
            served,
            _driver: running,
        })
    }
}

/// The part of a client's configuration that all have.
pub(crate) fn client_config() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
}

impl Client {
    pub(crate) async fn request(&mut self, line: &str, headers: &[(&str, &str)]) -> TestResponse {
        self.send(line, headers, String::new()).await
    }

    pub(crate) async fn send(
        &mut self,
        line: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> TestResponse {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "127.0.0.1");
        if !headers.iter().any(|(name, _)| *name == "Content-Type") {
            request = request.header("Content-Type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let exchange = async {
            self.sender.ready().await.unwrap();
            let response = self.sender.send_request(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            let warnings = head.headers.get_all("warning").into_iter();
            let warnings = warnings.map(|it| it.to_str().unwrap().to_owned());
            TestResponse {
                warnings: warnings.collect(),
                code: head.status.as_u16(),
                json: serde_json::from_str(&text).unwrap_or_default(),
                text,
            }
        };
        tokio::time::timeout(SOON, exchange).await.unwrap()
    }
}

fn der(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()
}

/// Authorities of users and of front proxies.
pub(crate) fn authorities() -> (Pair, Pair) {
    let (users, proxies) = (pki::authority("users"), pki::authority("proxies"));
    (users.unwrap(), proxies.unwrap())
}

/// Publishes bundles of authorities, and the usual headers without one for the UID.
pub(crate) fn publish(cluster: &KubeApiserver, users: &[&Pair], proxies: &[&Pair]) {
    let bundle =
        |pairs: &[&Pair]| -> String { pairs.iter().map(|pair| &*pair.certificate).collect() };
    cluster.publish(&[
        ("client-ca-file", &bundle(users)),
        ("requestheader-client-ca-file", &bundle(proxies)),
        ("requestheader-allowed-names", r#"["aggregator"]"#),
        ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
        (
            "requestheader-extra-headers-prefix",
            r#"["X-Remote-Extra-"]"#,
        ),
    ]);
}

/// Repeats a condition until it holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(SOON, waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}
