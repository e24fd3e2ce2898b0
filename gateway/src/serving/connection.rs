//! One connection: handshake, then HTTP/1.1 or HTTP/2 until either side ends it.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::stall::WriteStall;
use super::unsent::{Outlet, watched};
use super::{Lifecycle, leftover};
use crate::auth::Peer;

/// A client that has not finished its handshake by then is not coming.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to send the head of an HTTP/1 request, counted from the previous answer: also ends idle
/// connections. Go clients keep idle connections for 90 seconds.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// HTTP/2 connections without traffic are asked whether they still live, so that watchers behind a dead
/// network do not stay for ever.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// One client process runs all its watches over one connection.
const MAX_STREAMS: u32 = 2_000;
/// What clients may send before it is read: kube-apiserver's `resourceBody99Percentile` for a stream, Go's
/// default for a connection. It is in memory before anybody has asked for it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Unsent bytes hyper keeps per stream: bounds what a slow watcher holds.
const SEND_BUFFER: usize = 128 << 10;
/// Go's default; front proxies send one header per group of the user.
const HEADER_BYTES: u32 = 1 << 20;

/// Answers requests; the seam between sockets and the stack.
pub trait Service: Send + Sync + 'static {
    /// Answers one request of `peer`.
    fn serve(
        &self,
        peer: &Peer,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Where the answers of a new connection go.
    fn connect(&self) -> Outlet;
}

/// An accepted socket and what is needed to serve it.
pub(super) struct Connection<S> {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) service: Arc<S>,
    pub(super) lifecycle: Lifecycle,
    pub(super) tasks: Tasks,
}

impl<S: Service> Connection<S> {
    pub(super) async fn serve(self) {
        let outlet = self.service.connect();
        let stream = WriteStall::new(self.stream, outlet.stall());
        let handshake = TlsAcceptor::from(self.tls.clone()).accept(stream);
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(err)) => {
                tracing::debug!(peer = %self.address, %err, "handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!(peer = %self.address, "handshake timed out");
                return;
            }
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = certificates
            .iter()
            .map(|cert| cert.clone().into_owned())
            .collect();
        let peer = Arc::new(Peer::new(self.address, certificates));
        let service = self.service.clone();
        let owed = outlet.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (service, peer) = (service.clone(), peer.clone());
            request.extensions_mut().insert(owed.clone());
            async move {
                let (request, leftover) = leftover::lend(request);
                let mut answer = service.serve(&peer, request).await;
                if let Some(leftover) = leftover {
                    leftover.clear(&mut answer).await;
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let builder = builder(self.tasks);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let drain = self.lifecycle.not_accepting_new_requests.cancelled();
        let serving = async {
            tokio::select! {
                served = connection.as_mut() => served,
                () = drain => {
                    // Tells the peer to open no more streams; those that are open finish.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        let served = tokio::select! {
            served = watched(serving) => served,
            () = outlet.stalled() => None,
        };
        match served {
            Some(Ok(())) => {}
            Some(Err(err)) => tracing::debug!(peer = %self.address, %err, "connection ended"),
            None => {
                tracing::debug!(peer = %self.address, "connection cut: its client does not read")
            }
        }
    }
}

fn builder(tasks: Tasks) -> auto::Builder<Tasks> {
    let mut builder = auto::Builder::new(tasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// The tasks of a server, connections and the streams of HTTP/2 connections: owned by the listener,
/// which awaits them and in the end aborts what is left.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    running: TaskTracker,
    /// The same once more, because a tracker cannot abort.
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Tasks {
    /// Runs a task.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock();
        set.spawn(self.running.track_future(task));
        // Those that are done make room.
        while set.try_join_next().is_some() {}
    }

    /// Waits until all are done, also those that they begin meanwhile.
    pub(super) async fn done(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Ends all that are left, and tells how many that were.
    pub(super) fn abort(&self) -> usize {
        self.set.lock().abort_all();
        self.running.len()
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(async move {
            watched(future).await;
        });
    }
}
