//! A web server that receives events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The server; stops when dropped.
pub(super) struct Receiver {
    state: Arc<Mutex<State>>,
    kubeconfig: tempfile::NamedTempFile,
    _running: JoinSet<()>,
}

#[derive(Default)]
struct State {
    failures: usize,
    lists: Vec<Value>,
    paths: Vec<String>,
}

impl Receiver {
    /// Starts a server that rejects this many requests.
    pub(super) async fn failing(failures: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            failures,
            ..State::default()
        }));
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: \
             \"http://{address}/audit?key=1\"}}\ncontexts:\n- name: c\n  context: {{cluster: c, \
             user: u}}\nusers:\n- name: u\n  user: {{}}\ncurrent-context: c\n"
        );
        std::fs::write(kubeconfig.path(), text).unwrap();
        let mut running = JoinSet::new();
        let serving = Arc::clone(&state);
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                connections.spawn(async move {
                    let service = service_fn(move |request| respond(Arc::clone(&state), request));
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self {
            state,
            kubeconfig,
            _running: running,
        }
    }

    /// The flag that sends events to this server.
    pub(super) fn flag(&self) -> String {
        let path = self.kubeconfig.path().display();
        format!("--audit-webhook-config-file {path}")
    }

    pub(super) fn lists(&self) -> Vec<Value> {
        self.state.lock().lists.clone()
    }

    /// The paths of all requests.
    pub(super) fn paths(&self) -> Vec<String> {
        self.state.lock().paths.clone()
    }
}

async fn respond(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().to_string();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut state = state.lock();
    state.paths.push(path);
    let mut response = Response::new(Body::empty());
    if state.failures > 0 {
        state.failures -= 1;
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    } else {
        state.lists.push(serde_json::from_slice(&body).unwrap());
    }
    Ok(response)
}
