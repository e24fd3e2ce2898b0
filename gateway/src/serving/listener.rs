//! The accept loop and its shutdown.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Connection, Service, Shared};
use super::slots::Slots;
use super::tasks::Tasks;
use super::turns::Turns;
use super::{Bounds, Lifecycle};
use crate::fair_queue::First;

/// Concurrently computed handshakes: the number of threads of the runtime of connections.
pub const HANDSHAKES: usize = 2;
/// Concurrently polled requests per thread: one that runs, and one that is ready next.
const POLLS_PER_THREAD: usize = 2;
/// Pause after a failed accept (descriptors exhausted), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long open connections may take to close at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// A listening socket with everything its connections need.
#[derive(Debug)]
pub struct Server<S> {
    /// The bound socket.
    pub listener: TcpListener,
    /// Current TLS configuration; read once per connection.
    pub tls: Arc<ArcSwap<ServerConfig>>,
    /// Serves the requests.
    pub service: Arc<S>,
    /// The signals of the server.
    pub lifecycle: Lifecycle,
    /// Limits of connections.
    pub bounds: Bounds,
    /// The runtime that accepts, computes handshakes, and serves clients without a valid
    /// certificate, including probes. Its requests are short, and computation on the caller's
    /// runtime does not delay it.
    pub connections: Handle,
}

impl<S: Service> Server<S> {
    /// Accepts until shutdown, then waits for its connections. Serves clients with a valid
    /// certificate on the caller's runtime.
    pub async fn run(self) {
        let tasks = Tasks::default();
        let requests = Handle::current();
        let polls = POLLS_PER_THREAD * requests.metrics().num_workers();
        let shared = Arc::new(Shared {
            tls: self.tls,
            service: self.service,
            lifecycle: self.lifecycle,
            bounds: self.bounds,
            handshakes: Turns::new(HANDSHAKES, First::Newest),
            polls: Turns::new(polls, First::Oldest),
            tasks: tasks.clone(),
            requests,
        });
        let mut accepting = JoinSet::new();
        accepting.spawn_on(accept(self.listener, shared), &self.connections);
        match accepting.join_next().await {
            Some(Ok(Ok(()))) | None => {}
            Some(Ok(Err(err))) => tracing::error!(%err, "stopped accepting connections"),
            Some(Err(err)) => tracing::error!(%err, "the accept loop ended"),
        }
        if timeout(DRAIN_TIMEOUT, tasks.done()).await.is_err() {
            let cut = tasks.abort();
            tracing::warn!(
                tasks = cut,
                "aborted connections that did not end before the drain timeout"
            );
            tasks.done().await;
        }
    }
}

async fn accept<S: Service>(listener: TcpListener, shared: Arc<Shared<S>>) -> io::Result<()> {
    // Registers the socket with this runtime, which then polls it.
    let listener = TcpListener::from_std(listener.into_std()?)?;
    let slots = Slots::new(&shared.bounds);
    let stop = &shared.lifecycle.not_accepting_new_requests;
    loop {
        let (stream, address) = match stop.run_until_cancelled(listener.accept()).await {
            None => return Ok(()),
            Some(Ok(accepted)) => accepted,
            Some(Err(err)) => {
                accept_failed(&err, &slots).await;
                continue;
            }
        };
        // Disables Nagle's algorithm: small frames must not wait for acknowledgements.
        if let Err(err) = stream.set_nodelay(true) {
            tracing::debug!(%err, "cannot set TCP_NODELAY");
        }
        let slot = slots.admit(address.ip());
        // Waits only for evicted connections to close, never for connections that stay.
        let Some(Some(socket)) = stop.run_until_cancelled(slots.socket()).await else {
            return Ok(());
        };
        let connection = Connection {
            stream,
            address,
            slot,
            shared: Arc::clone(&shared),
        };
        shared.tasks.spawn(connection.serve(socket));
    }
}

async fn accept_failed(err: &io::Error, slots: &Slots) {
    // These errors concern one connection, which is already closed.
    let gone = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
    ];
    if !gone.contains(&err.kind()) {
        tracing::error!(%err, "cannot accept connections");
        slots.shed();
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
