//! The accept loop, and how it ends.

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

/// Handshakes that are computed at once: as many as the runtime of connections has threads.
pub const HANDSHAKES: usize = 2;
/// Requests that are polled at once for each thread: one that is polled, and one that is ready when it is done.
const POLLS_PER_THREAD: usize = 2;
/// Pause after an accept that failed for want of a resource, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long open connections may take to finish once asked to.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// A listening socket with everything its connections need.
#[derive(Debug)]
pub struct Server<S> {
    /// The socket, already bound.
    pub listener: TcpListener,
    /// TLS in force; read once per connection.
    pub tls: Arc<ArcSwap<ServerConfig>>,
    /// What answers the requests.
    pub service: Arc<S>,
    /// The server's signals.
    pub lifecycle: Lifecycle,
    /// What clients may hold.
    pub bounds: Bounds,
    /// The runtime that accepts, computes handshakes, and serves clients without a valid certificate,
    /// so also probes. What those ask for is short; so nothing that is computed for others on the
    /// caller's runtime delays it.
    pub connections: Handle,
}

impl<S: Service> Server<S> {
    /// Accepts until the lifecycle says stop, then waits for the connections it owns. Serves clients
    /// with a valid certificate on the caller's runtime.
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
            Some(Ok(Err(err))) => tracing::error!(%err, "cannot accept connections any more"),
            Some(Err(err)) => tracing::error!(%err, "the accept loop ended"),
        }
        if timeout(DRAIN_TIMEOUT, tasks.done()).await.is_err() {
            let cut = tasks.abort();
            tracing::warn!(tasks = cut, "connections that did not end were cut");
            tasks.done().await;
        }
    }
}

async fn accept<S: Service>(listener: TcpListener, shared: Arc<Shared<S>>) -> io::Result<()> {
    // From here on this runtime tells when somebody connects.
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
        // Small frames must not wait for the peer's acknowledgement.
        if let Err(err) = stream.set_nodelay(true) {
            tracing::debug!(%err, "could not set TCP_NODELAY");
        }
        let slot = slots.admit(address.ip());
        // Waits for those that were evicted just now, never for those that stay.
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
    // These concern the one connection that is already gone.
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
