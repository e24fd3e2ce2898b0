//! A server of admission webhooks over TLS. The path of a webhook selects its response.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The server; stops when dropped.
pub(crate) struct WebhookServer {
    pub(crate) address: SocketAddr,
    /// The authority of its certificate, PEM in base64.
    pub(crate) ca_bundle: String,
    state: Arc<State>,
    _running: JoinSet<()>,
}

struct State {
    /// Path and request of each review.
    reviews: Mutex<Vec<(String, Value)>>,
    /// The `Authorization` headers.
    credentials: Mutex<Vec<String>>,
    connections: Mutex<usize>,
    /// Passed by two reviews together.
    pair: Barrier,
}

impl WebhookServer {
    pub(crate) async fn start() -> Self {
        let authority = pki::authority("webhooks").unwrap();
        let names = ["127.0.0.1".to_owned(), "hook.hooks.svc".to_owned()];
        let pair = pki::serving(&authority, &names).unwrap();
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            reviews: Mutex::default(),
            credentials: Mutex::default(),
            connections: Mutex::default(),
            pair: Barrier::new(2),
        });
        let (acceptor, shared) = (TlsAcceptor::from(Arc::new(config)), Arc::clone(&state));
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                *state.connections.lock() += 1;
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request| respond(Arc::clone(&state), request));
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            ca_bundle: STANDARD.encode(&authority.certificate),
            state,
            _running: running,
        }
    }

    /// The client configuration of a webhook at a path.
    pub(crate) fn at(&self, path: &str) -> Value {
        let url = format!("https://{}{path}", self.address);
        json!({"url": url, "caBundle": self.ca_bundle})
    }

    /// Path and request of each review since the last call.
    pub(crate) fn reviews(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.state.reviews.lock())
    }

    /// The `Authorization` headers so far.
    pub(crate) fn credentials(&self) -> Vec<String> {
        self.state.credentials.lock().clone()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock()
    }
}

async fn respond(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let asked = &review["request"];
    let path = head.uri.path().to_owned();
    let credentials = head.headers.get("authorization");
    state
        .credentials
        .lock()
        .extend(credentials.map(|it| it.to_str().unwrap().to_owned()));
    state.reviews.lock().push((path.clone(), asked.clone()));
    let mut answer = json!({"uid": asked["uid"], "allowed": true});
    let action = path.trim_start_matches('/').split('/').next().unwrap();
    match action {
        "allow" => {}
        "together" => {
            state.pair.wait().await;
        }
        "slow" => tokio::time::sleep(Duration::from_secs(20)).await,
        "deny" => {
            answer["allowed"] = json!(false);
            answer["status"] = json!({"code": 403, "reason": "Forbidden", "message": "no"});
        }
        "deny-odd" => {
            answer["allowed"] = json!(false);
            answer["status"] = json!({"code": 418, "reason": "TooSmall"});
        }
        "warn" => answer["warnings"] = json!(["careful", "very careful"]),
        "uid" => answer["uid"] = json!("x"),
        "append" => patch(&mut answer, &append(asked, &path)),
        "pin" => {
            let value = json!([{"op": "add", "path": "/spec/replicas", "value": 7}]);
            patch(&mut answer, &value);
        }
        "bad-patch" => {
            let value = json!([{"op": "remove", "path": "/spec/missing"}]);
            patch(&mut answer, &value);
        }
        "managers" => {
            let entries = json!([{"manager": "m", "operation": "Odd", "apiVersion": "v1"}]);
            let value = json!([{"op": "add", "path": "/metadata/managedFields", "value": entries}]);
            patch(&mut answer, &value);
        }
        "untyped-patch" => answer["patch"] = json!(STANDARD.encode("[]")),
        "garbage" => return Ok(Response::new(Body::from("garbage"))),
        "padded" | "endless" => {
            let bytes = if action == "padded" { 3 << 20 } else { 9 << 20 };
            answer["pad"] = json!("x".repeat(bytes));
        }
        "fail" => {
            let response = Response::builder().status(500);
            let response = response.header("Content-Type", "text/plain");
            return Ok(response.body(Body::from("bang\n")).unwrap());
        }
        "redirect" => {
            let location = match path.as_str() {
                "/redirect" => "https://elsewhere.example.com/allow",
                _ => "/allow",
            };
            let response = Response::builder().status(307);
            let response = response.header("Location", location);
            return Ok(response.body(Body::empty()).unwrap());
        }
        other => panic!("no action {other}"),
    }
    let answer = json!({
        "apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": answer,
    });
    Ok(Response::new(Body::from(answer.to_string())))
}

fn patch(answer: &mut Value, patch: &Value) {
    answer["patch"] = json!(STANDARD.encode(patch.to_string()));
    answer["patchType"] = json!("JSONPatch");
}

/// Appends the last part of the path to the label `seen`.
fn append(asked: &Value, path: &str) -> Value {
    let object = &asked["object"];
    let seen = object["metadata"]["labels"]["seen"].as_str();
    let seen = format!(
        "{}{}",
        seen.unwrap_or_default(),
        path.rsplit('/').next().unwrap()
    );
    let labels = &object["metadata"]["labels"];
    let mut labels = labels.as_object().cloned().unwrap_or_default();
    labels.insert("seen".to_owned(), json!(seen));
    json!([{"op": "add", "path": "/metadata/labels", "value": labels}])
}
