//! A kube-apiserver of nine resources over TLS. It counts reviews, and can be stopped.

#[path = "kube_apiserver/objects.rs"]
mod objects;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use pki::Pair;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// The server; stops when dropped.
pub(crate) struct KubeApiserver {
    pub(crate) state: Arc<Mutex<State>>,
    moved: watch::Sender<()>,
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    kubeconfig: tempfile::NamedTempFile,
    running: JoinSet<()>,
}

/// Objects, and counters of requests.
#[derive(Default)]
pub(crate) struct State {
    /// Status of the TokenReview of each valid token.
    pub(crate) tokens: HashMap<String, Value>,
    /// Users who may do everything.
    pub(crate) allowed: HashSet<String>,
    /// Responses to SubjectAccessReviews before the regular ones.
    pub(crate) failures: Vec<(u16, Value)>,
    /// Delays the responses to SubjectAccessReviews while it is set.
    pub(crate) hold: bool,
    /// Tokens of TokenReviews.
    pub(crate) reviewed_tokens: Vec<String>,
    /// Specs of the SubjectAccessReviews.
    pub(crate) reviews: Vec<Value>,
    /// Phase that a read of one namespace returns instead of the watched one.
    pub(crate) live: HashMap<String, &'static str>,
    /// Reads of one namespace.
    pub(crate) namespace_reads: usize,
    /// Method and resource of each write.
    pub(crate) writes: Vec<String>,
    /// Resources that the server under test may not read.
    pub(crate) unreadable: HashSet<&'static str>,
    /// Resources whose updates are rejected.
    pub(crate) forbidden: HashSet<&'static str>,
    objects: BTreeMap<(&'static str, String), Value>,
    log: Vec<(&'static str, Value)>,
}

impl KubeApiserver {
    pub(crate) async fn start() -> Self {
        let authority = pki::authority("kube-apiserver").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Self {
            state: Arc::default(),
            moved: watch::Sender::new(()),
            address,
            tls: tls(&authority),
            kubeconfig: kubeconfig(&authority, address),
            running: JoinSet::new(),
        };
        server.listen(listener);
        for namespace in ["a", "kube-system"] {
            server.namespace(namespace, "Active");
        }
        server
    }

    /// The path of a kubeconfig file.
    pub(crate) fn kubeconfig(&self) -> String {
        self.kubeconfig.path().display().to_string()
    }

    /// Closes the listener and all connections.
    pub(crate) async fn stop(&mut self) {
        self.running.shutdown().await;
    }

    /// Listens again on the same port.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.listen(listener);
    }

    fn listen(&mut self, listener: TcpListener) {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let (state, moved) = (Arc::clone(&self.state), self.moved.clone());
        self.running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (acceptor, state, moved) = (acceptor.clone(), state.clone(), moved.clone());
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request| {
                        respond(Arc::clone(&state), moved.clone(), request)
                    });
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
    }

    /// Changes the state and wakes requests that wait for it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock());
        self.moved.send_replace(());
        changed
    }

    /// Creates or changes a namespace; the phase `Deleted` removes it.
    pub(crate) fn namespace(&self, name: &str, phase: &str) {
        let object = namespace(name, phase);
        self.change(|state| match phase {
            "Deleted" => state.log("namespaces", "DELETED", name, object),
            _ => state.log("namespaces", "MODIFIED", name, object),
        });
    }

    /// Replaces the data of the authentication ConfigMap.
    pub(crate) fn publish(&self, data: &[(&str, &str)]) {
        let data: BTreeMap<&str, &str> = data.iter().copied().collect();
        let object = json!({
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"name": CONFIG_MAP, "namespace": "kube-system"},
            "data": data,
        });
        self.change(|state| state.log("configmaps", "MODIFIED", CONFIG_MAP, object));
    }

    /// Adds a valid token.
    pub(crate) fn token(&self, token: &str, user: &str) {
        let status = json!({
            "authenticated": true,
            "user": {"username": user, "uid": "7", "groups": ["dev", "system:authenticated"]},
        });
        self.change(|state| state.tokens.insert(token.to_owned(), status));
    }

    pub(crate) fn allow(&self, user: &str) {
        self.change(|state| state.allowed.insert(user.to_owned()));
    }

    /// The specs of SubjectAccessReviews since the last call.
    pub(crate) fn reviews(&self) -> Vec<Value> {
        std::mem::take(&mut self.state.lock().reviews)
    }
}

impl State {
    fn log(&mut self, resource: &'static str, kind: &str, name: &str, mut object: Value) {
        let version = self.log.len() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let key = (resource, name.to_owned());
        if kind == "DELETED" {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, object.clone());
        }
        let event = json!({"type": kind, "object": object});
        self.log.push((resource, event));
    }

    fn list(&self, resource: &'static str, only: Option<&str>) -> Value {
        let objects = self.objects.iter();
        let items: Vec<&Value> = objects
            .filter(|((of, name), _)| *of == resource && only.is_none_or(|only| only == name))
            .map(|(_, object)| object)
            .collect();
        let version = self.log.len().to_string();
        json!({
            "kind": "List", "apiVersion": "v1",
            "metadata": {"resourceVersion": version}, "items": items,
        })
    }

    fn get(&mut self, resource: &'static str, name: &str) -> (u16, Value) {
        if resource == "namespaces" {
            self.namespace_reads += 1;
            if let Some(phase) = self.live.get(name) {
                return (200, namespace(name, phase));
            }
        }
        match self.objects.get(&(resource, name.to_owned())) {
            Some(object) => (200, object.clone()),
            None => (404, status(404, "NotFound", "not found")),
        }
    }

    fn review_token(&mut self, review: &Value) -> (u16, Value) {
        let token = review["spec"]["token"].as_str().unwrap_or_default();
        self.reviewed_tokens.push(token.to_owned());
        let unknown = json!({"authenticated": false, "error": "invalid bearer token"});
        let status = self.tokens.get(token).cloned().unwrap_or(unknown);
        (201, json!({ "status": status }))
    }

    fn review_access(&mut self, review: &Value) -> (u16, Value) {
        self.reviews.push(review["spec"].clone());
        if !self.failures.is_empty() {
            return self.failures.remove(0);
        }
        let user = review["spec"]["user"].as_str().unwrap_or_default();
        let status = if self.allowed.contains(user) {
            json!({"allowed": true, "reason": "RBAC: allowed"})
        } else {
            json!({"allowed": false, "reason": "no rule"})
        };
        (201, json!({ "status": status }))
    }
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn namespace(name: &str, phase: &str) -> Value {
    json!({
        "kind": "Namespace", "apiVersion": "v1",
        "metadata": {"name": name}, "status": {"phase": phase},
    })
}

async fn respond(
    state: Arc<Mutex<State>>,
    moved: watch::Sender<()>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let review: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    if head
        .headers
        .get("authorization")
        .is_none_or(|it| it != "Bearer gateway")
    {
        return Ok(reply(401, &status(401, "Unauthorized", "Unauthorized")));
    }
    let (code, body) = match path {
        "/apis/authentication.k8s.io/v1/tokenreviews" => state.lock().review_token(&review),
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
            let resource = review["spec"]["resourceAttributes"]["resource"].as_str();
            let resource = resource.unwrap_or_default();
            let allowed = !state.lock().unreadable.contains(resource);
            (201, json!({"status": {"allowed": allowed}}))
        }
        "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
            let mut changes = moved.subscribe();
            let response = state.lock().review_access(&review);
            while state.lock().hold {
                let _ = changes.changed().await;
            }
            response
        }
        path => match objects::located(path) {
            None => (404, status(404, "NotFound", path)),
            Some((resource, None)) => {
                let only = objects::selected(query);
                if objects::BY_NAME.contains(&resource) && only.is_none() {
                    let text = "allowed by name only";
                    return Ok(reply(403, &status(403, "Forbidden", text)));
                }
                if query.contains("watch=true") {
                    return Ok(watching(&state, &moved, (resource, only), query));
                }
                (200, state.lock().list(resource, only.as_deref()))
            }
            Some((resource, Some(name))) if head.method == "GET" => {
                state.lock().get(resource, name)
            }
            Some((resource, Some(name))) => {
                let written = state.lock().write(&head, resource, name, review);
                moved.send_replace(());
                written
            }
        },
    };
    Ok(reply(code, &body))
}

fn reply(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// Streams the events after the version of the query.
fn watching(
    state: &Arc<Mutex<State>>,
    moved: &watch::Sender<()>,
    (resource, only): (&'static str, Option<String>),
    query: &str,
) -> Response<Body> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let version = pairs.find(|(key, _)| key == "resourceVersion");
    let version: usize = version.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    let start = (Arc::clone(state), moved.subscribe(), version);
    let events = stream::unfold(start, move |(state, mut changes, mut at)| {
        let only = only.clone();
        async move {
            loop {
                changes.borrow_and_update();
                let next = {
                    let state = state.lock();
                    let mut rest = state.log.iter().enumerate().skip(at);
                    let wanted = |event: &Value| {
                        let name = &event["object"]["metadata"]["name"];
                        only.as_ref().is_none_or(|only| name == only)
                    };
                    let found = rest.find(|(_, (of, event))| *of == resource && wanted(event));
                    found.map(|(index, (_, event))| (index + 1, format!("{event}\n")))
                };
                if let Some((after, line)) = next {
                    at = after;
                    return Some((Ok::<_, Infallible>(line), (state, changes, at)));
                }
                changes.changed().await.ok()?;
            }
        }
    });
    Response::new(Body::from_stream(events))
}

fn tls(authority: &Pair) -> Arc<ServerConfig> {
    let pair = pki::serving(authority, &["127.0.0.1".to_owned()]).unwrap();
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = builder
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let mut config = config.unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn kubeconfig(authority: &Pair, address: SocketAddr) -> tempfile::NamedTempFile {
    use base64::Engine as _;
    let authority = base64::engine::general_purpose::STANDARD.encode(&authority.certificate);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {
            "server": format!("https://{address}"), "certificate-authority-data": authority,
        }}],
        "users": [{"name": "x", "user": {"token": "gateway"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    file
}
