//! A server without sockets over a driver, and the administrator who sends it requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use gateway::admission::Chain;
use gateway::app::{self, App};
use gateway::audit;
use gateway::auth::Peer;
use gateway::compute::Pool;
use gateway::handlers::Api;
use gateway::stack::Stack;
use gateway::store::{Phase, StoreConfig};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use pki::Pki;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::flags;

/// Upper bound for the load of all objects, and for the shutdown.
const SOON: Duration = Duration::from_secs(30);

/// A running server with one thread for work on large objects; aborted when dropped.
pub(crate) struct InProcess {
    pub(crate) admin: Admin,
    phase: watch::Receiver<Phase>,
    running: JoinSet<Result<(), app::Error>>,
    stop: CancellationToken,
    _files: tempfile::TempDir,
}

/// What differs between servers under test.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) store: StoreConfig,
    pub(crate) admission: Chain,
    /// Further flags.
    pub(crate) flags: String,
}

/// A member of `system:masters`; cheap to clone.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) stack: Arc<Stack<Api>>,
    peer: Arc<Peer>,
}

impl InProcess {
    /// Starts a server for the kinds of a file, and waits until the objects of the driver are
    /// loaded.
    pub(crate) async fn loaded(endpoint: &str, kinds: &str, options: Options) -> Self {
        let mut server = Self::start(endpoint, kinds, options);
        let ready = server.phase.wait_for(|phase| *phase == Phase::Ready);
        let ready = tokio::time::timeout(SOON, ready).await;
        drop(ready.expect("loaded in time").expect("the store lives"));
        server
    }

    /// Starts a server whose objects are not loaded yet.
    pub(crate) fn start(endpoint: &str, kinds: &str, options: Options) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let pki = Pki::load_or_create(files.path(), &[]).expect("certificates");
        let flags = format!(
            "--backend {endpoint} {} --tls-cert-file {} --tls-private-key-file {} \
             --client-ca-file {} {}",
            flags::kinds(kinds),
            pki.server.display(),
            pki.server_key.display(),
            pki.authority.display(),
            options.flags,
        );
        let mut config = flags::config(&flags).expect("a configuration");
        config.store = options.store;
        let catalog = config.kinds.load().expect("manifests");
        let audit = audit::Backends::configure(&config.audit);
        let audit = audit.now_or_never().expect("no wait").expect("an audit");
        let server = App::builder(config, catalog)
            .with_threads(1)
            .with_admission(options.admission)
            .with_audit(audit)
            .in_process()
            .expect("a server");
        let certificate = CertificateDer::from_pem_slice(pki.admin_pem.as_bytes());
        let peer = Peer::new(
            SocketAddr::from(([127, 0, 0, 1], 1)),
            vec![certificate.expect("a certificate")],
        );
        let admin = Admin {
            stack: Arc::clone(server.stack()),
            peer: Arc::new(peer),
        };
        let (phase, stop) = (server.phase(), CancellationToken::new());
        let mut running = JoinSet::new();
        running.spawn(server.run(stop.clone()));
        Self {
            admin,
            phase,
            running,
            stop,
            _files: files,
        }
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.running.join_next()).await;
        let ended = ended.expect("stopped in time").expect("one task");
        ended.expect("no panic").expect("no part has ended");
    }
}

impl Admin {
    /// The response of the request chain.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.stack.respond(&self.peer, request).await
    }

    /// The response to a client without credentials.
    pub(crate) async fn send_anonymously(&self, request: Request<Body>) -> Response<Body> {
        let peer = Peer::new(SocketAddr::from(([127, 0, 0, 1], 1)), Vec::new());
        self.stack.respond(&peer, request).await
    }

    /// The pool for work on large objects.
    pub(crate) fn compute(&self) -> &Pool {
        self.stack.inner.store.compute()
    }
}

/// Copies and drops each chunk, as a socket does: a response continues when its chunks are dropped.
pub(crate) async fn whole(mut body: Body) -> Bytes {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.expect("a whole body");
        read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    read.into()
}
