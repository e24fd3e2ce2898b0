//! Idle, excessive and slow clients over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cert_reload::Reloader;
use super::tls::{Files, ServingFiles};
use super::*;
use crate::auth::{Authenticators, Certificates, Peer, RequestHeaders};
use pki::Pki;

/// Upper bound for every step here, on a busy machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);
/// An upload that exceeds every socket buffer.
const UPLOAD: usize = 40 << 20;

/// A server and the certificates of its clients.
struct TestServer {
    address: SocketAddr,
    pki: Pki,
    lifecycle: Lifecycle,
    /// Runtime of requests: one thread, so that one request can occupy all of it.
    requests: Option<Runtime>,
    _directory: tempfile::TempDir,
}

/// Responds by path.
struct Stub(Authenticators);

impl Service for Stub {
    fn recognizes(&self, peer: &Peer) -> bool {
        self.0.recognizes(peer)
    }

    async fn serve(&self, _peer: &Peer, request: Request<Body>) -> Response<Body> {
        let (mut status, mut text) = (StatusCode::OK, "ok".to_owned());
        match request.uri().path() {
            "/wait" => tokio::time::sleep(Duration::from_secs(2)).await,
            "/never" => std::future::pending().await,
            "/compute" => std::thread::sleep(Duration::from_secs(2)),
            "/refuse" => status = StatusCode::PAYLOAD_TOO_LARGE,
            "/count" => {
                text = request
                    .headers()
                    .get_all("x-group")
                    .iter()
                    .count()
                    .to_string()
            }
            _ => {}
        }
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response
    }

    fn connect(&self) -> unsent::Outlet {
        unsent::Unsent::new(unsent::UnsentLimits::default()).connect()
    }
}

/// Timeouts short enough to wait for.
fn bounds() -> Bounds {
    let millis = Duration::from_millis;
    Bounds {
        handshake: millis(900),
        preface: millis(300),
        head: millis(1_200),
        idle: millis(600),
        goodbye: millis(100),
        ..Bounds::of_descriptors(1_024)
    }
}

/// A server in two runtimes; the test runs in the runtime of connections.
async fn test_server(bounds: Bounds) -> TestServer {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(&directory.path().join("pki"), &["localhost".to_owned()]);
    let pki = pki.unwrap();
    let certificates = Reloader::new(Files {
        serving: Some(ServingFiles {
            certificate: pki.server.clone(),
            private_key: pki.server_key.clone(),
        }),
        client_ca: Some(pki.authority.clone()),
        request_header_ca: None,
        request_headers: RequestHeaders::default(),
    });
    let certificates = certificates.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = Lifecycle::new();
    let server = Server {
        listener,
        tls: certificates.config(),
        service: Arc::new(Stub(Authenticators::of_certificates(Certificates::new(
            certificates.trust(),
        )))),
        lifecycle: lifecycle.clone(),
        bounds,
        connections: Handle::current(),
    };
    let mut builder = Builder::new_multi_thread();
    let requests = builder.worker_threads(1).enable_all().build().unwrap();
    drop(requests.spawn(server.run()));
    TestServer {
        address,
        pki,
        lifecycle,
        requests: Some(requests),
        _directory: directory,
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.lifecycle.not_accepting_new_requests.cancel();
        if let Some(requests) = self.requests.take() {
            requests.shutdown_background();
        }
    }
}

impl TestServer {
    /// A connection with or without the administrator's certificate.
    async fn connect(&self, protocol: &str, admin: bool) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.pki.authority_pem.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if admin {
            let pki = &self.pki;
            let certificate = CertificateDer::from_pem_slice(pki.admin_pem.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(pki.admin_key_pem.as_bytes()).unwrap();
            config
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        } else {
            config.with_no_client_auth()
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// The response to an HTTP/1.1 request on a new connection.
    async fn request(&self, admin: bool, request: &[u8]) -> String {
        let mut stream = self.connect("http/1.1", admin).await.unwrap();
        stream.write_all(request).await.unwrap();
        until_closed(&mut stream).await
    }
}

/// Everything that is received until the server closes the connection.
async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut bytes));
    let _reset = read.await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `GET https://x/` in HPACK.
const HEAD: &[u8] = b"\x82\x87\x84\x41\x01x";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The error codes of all GOAWAY frames until the server closes the connection.
async fn goaways(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u32> {
    let mut codes = Vec::new();
    while let Ok(Ok(length)) = tokio::time::timeout(TEST_TIMEOUT, stream.read_u24()).await {
        let mut rest = vec![0; 6 + length];
        if stream.read_exact(&mut rest).await.is_err() {
            break;
        }
        if rest[0] == GOAWAY {
            codes.push(u32::from_be_bytes(rest[10..14].try_into().unwrap()));
        }
    }
    codes
}

/// Frame lengths have three bytes.
trait ReadU24 {
    async fn read_u24(&mut self) -> std::io::Result<usize>;
}

impl<R: tokio::io::AsyncRead + Unpin> ReadU24 for R {
    async fn read_u24(&mut self) -> std::io::Result<usize> {
        let high = usize::from(self.read_u8().await?);
        Ok((high << 16) | usize::from(self.read_u16().await?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_request_connections_are_closed() {
    let test_server = test_server(bounds()).await;
    let begun = Instant::now();
    let mut silent = TcpStream::connect(test_server.address).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { until_closed(&mut silent).await });
    for admin in [false, true] {
        for (protocol, bytes) in [
            ("http/1.1", &b""[..]),
            ("http/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n"),
            ("h2", b""),
            ("h2", &PREFACE[..12]),
            ("h2", PREFACE),
        ] {
            let mut stream = test_server.connect(protocol, admin).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            tasks.spawn(async move { until_closed(&mut stream).await });
        }
    }
    tasks.join_all().await;
    assert!(begun.elapsed() >= bounds().head, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_despite_pings() {
    let test_server = test_server(bounds()).await;
    let mut http1 = test_server.connect("http/1.1", true).await.unwrap();
    http1
        .write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut http2 = test_server.connect("h2", true).await.unwrap();
    let settings = frame(SETTINGS, 0, 0, &[]);
    let request = frame(HEADERS, 5, 1, HEAD);
    http2
        .write_all(&[PREFACE, &settings, &request].concat())
        .await
        .unwrap();
    let (mut read, mut write) = tokio::io::split(http2);
    let mut pings = JoinSet::new();
    pings.spawn(async move {
        while write.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {
            let _ = write.flush().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    // The final GOAWAY names the last stream, unless the client did not respond in time.
    assert_eq!(goaways(&mut read).await.first(), Some(&0));
    // A request that takes longer than the idle timeout is served.
    let response = until_closed(&mut http1).await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrator_connects_when_unauthenticated_slots_are_full() {
    let test_server = test_server(Bounds {
        connections: 40,
        unauthenticated: 20,
        ..Bounds::of_descriptors(1_024)
    })
    .await;
    let mut old = test_server.connect("http/1.1", true).await.unwrap();
    let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
    for _ in 0..60 {
        held.push(Box::new(
            TcpStream::connect(test_server.address).await.unwrap(),
        ));
    }
    for _ in 0..60 {
        if let Ok(stream) = test_server.connect("h2", false).await {
            held.push(Box::new(stream));
        }
    }
    let begun = Instant::now();
    let response = test_server.request(true, &get("/")).await;
    assert!(response.ends_with("ok"), "{response:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    old.write_all(&get("/")).await.unwrap();
    let response = until_closed(&mut old).await;
    assert!(response.ends_with("ok"), "{response:?}");
    // Probes are served as well.
    let response = test_server.request(false, &get("/livez")).await;
    assert!(response.ends_with("ok"), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_handshakes_are_served_while_requests_compute() {
    let test_server = test_server(Bounds::of_descriptors(1_024)).await;
    let mut busy = test_server.connect("http/1.1", true).await.unwrap();
    busy.write_all(&get("/compute")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    for _ in 0..3 {
        let response = test_server.request(false, &get("/livez")).await;
        assert!(response.ends_with("ok"), "{response:?}");
        test_server.connect("h2", true).await.unwrap();
    }
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let response = until_closed(&mut busy).await;
    assert!(response.ends_with("ok"), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_upload_can_be_sent_before_response_is_read() {
    let test_server = test_server(Bounds::of_descriptors(1_024)).await;
    let mut stream = test_server.connect("http/1.1", true).await.unwrap();
    let head = |more: &str| {
        format!("POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: {UPLOAD}\r\n{more}\r\n")
    };
    stream.write_all(head("").as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; UPLOAD]).await.unwrap();
    let response = until_closed(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 413"), "{response:?}");

    let response = test_server
        .request(true, head("Expect: 100-continue\r\n").as_bytes())
        .await;
    assert!(response.starts_with("HTTP/1.1 413"), "{response:?}");

    let stream = TokioIo::new(test_server.connect("h2", true).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    for _ in 0..2 {
        let body = Full::new(Bytes::from(vec![b' '; UPLOAD]));
        let request = Request::post("https://x/refuse").body(body).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "ok"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthenticated_heads_have_smaller_limit() {
    let test_server = test_server(Bounds::of_descriptors(1_024)).await;
    let head = |bytes: usize| {
        let filler = "h".repeat(bytes);
        format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Filler: {filler}\r\n\r\n")
    };
    for (admin, bytes, status) in [
        (true, 900 << 10, "200"),
        (true, 2 << 20, "431"),
        (false, 16 << 10, "200"),
        (false, 64 << 10, "431"),
        (false, 900 << 10, "431"),
    ] {
        let response = test_server.request(admin, head(bytes).as_bytes()).await;
        let line = response.lines().next().unwrap_or_default();
        assert!(line.contains(status), "{admin} {bytes}: {line:?}");
    }
    let groups = "X-Group: g\r\n".repeat(150);
    let request = format!("GET /count HTTP/1.1\r\nHost: x\r\n{groups}Connection: close\r\n\r\n");
    assert!(
        test_server
            .request(true, request.as_bytes())
            .await
            .ends_with("150")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn request_requires_exactly_one_valid_host() {
    let test_server = test_server(Bounds::of_descriptors(1_024)).await;
    for (version, hosts, line, text) in [
        (
            "1.1",
            "",
            "400 Bad Request: missing required Host header",
            "",
        ),
        ("1.1", "Host: x\r\nHost: x\r\n", "400 Bad Request", ""),
        (
            "1.1",
            "Host: x y\r\n",
            "400 Bad Request: malformed Host header",
            "",
        ),
        ("1.1", "Host: [::1]:6443\r\n", "200 OK", "ok"),
        ("1.1", "Host:\r\n", "200 OK", "ok"),
        ("1.0", "", "200 OK", "ok"),
    ] {
        let request = format!("GET / HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let response = test_server.request(true, request.as_bytes()).await;
        let status = format!("HTTP/{version} {line}\r\n");
        assert!(response.starts_with(&status), "{hosts:?}: {response:?}");
        let body = if text.is_empty() { line } else { text };
        assert!(
            response.ends_with(&format!("\r\n\r\n{body}")),
            "{response:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_abuse_closes_connection() {
    let test_server = test_server(Bounds::of_descriptors(1_024)).await;
    let resets: Vec<u8> = (0..500)
        .flat_map(|n| {
            let open = frame(HEADERS, 5, 2 * n + 1, HEAD);
            [open, frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    let mut continued = frame(HEADERS, 1, 1, HEAD);
    for _ in 0..5_000 {
        continued.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    for (what, bytes) in [("rapid reset", resets), ("continuation", continued)] {
        let mut stream = test_server.connect("h2", true).await.unwrap();
        let settings = frame(SETTINGS, 0, 0, &[]);
        // The server may close the connection before it has read everything.
        let _ = stream
            .write_all(&[PREFACE, &settings, &bytes].concat())
            .await;
        let codes = goaways(&mut stream).await;
        assert_eq!(codes, [ENHANCE_YOUR_CALM], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthenticated_http2_connection_serves_one_request() {
    let test_server = test_server(Bounds::of_descriptors(1_024)).await;
    let stream = TokioIo::new(test_server.connect("h2", false).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    let request = || Request::get("https://x/livez").body(Full::<Bytes>::default());
    let (response, ended) = tokio::join!(sender.send_request(request().unwrap()), connection);
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    ended.unwrap();
    assert!(sender.send_request(request().unwrap()).await.is_err());
    // An unfinished request does not hold the connection either.
    let test_server = self::test_server(bounds()).await;
    let mut stream = test_server.connect("http/1.1", false).await.unwrap();
    stream.write_all(&get("/never")).await.unwrap();
    assert_eq!(until_closed(&mut stream).await, "");
}
