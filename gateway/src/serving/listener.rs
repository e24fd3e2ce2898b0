//! The accept loop, and how it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Lifecycle;
use super::connection::{Connection, Service, Tasks};

/// Connections open at once. When full, the next one waits in the kernel's backlog.
pub const MAX_CONNECTIONS: usize = 16_384;
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
}

impl<S: Service> Server<S> {
    /// Accepts until the lifecycle says stop, then waits for the connections it owns.
    pub async fn run(self) {
        let tasks = Tasks::default();
        self.accept(&tasks).await;
        drop(self.listener);
        if timeout(DRAIN_TIMEOUT, tasks.done()).await.is_err() {
            let cut = tasks.abort();
            tracing::warn!(tasks = cut, "connections that did not end were cut");
            tasks.done().await;
        }
    }

    async fn accept(&self, tasks: &Tasks) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let stop = &self.lifecycle.not_accepting_new_requests;
        loop {
            let next = stop.run_until_cancelled(async {
                let slot = slots.clone().acquire_owned().await;
                (slot, self.listener.accept().await)
            });
            let (slot, (stream, address)) = match next.await {
                None | Some((Err(_), _)) => return,
                Some((Ok(slot), Ok(accepted))) => (slot, accepted),
                Some((Ok(_), Err(err))) => {
                    refused(&err).await;
                    continue;
                }
            };
            // Small frames must not wait for the peer's acknowledgement.
            if let Err(err) = stream.set_nodelay(true) {
                tracing::debug!(%err, "could not set TCP_NODELAY");
            }
            let connection = Connection {
                stream,
                address,
                tls: self.tls.load_full(),
                service: self.service.clone(),
                lifecycle: self.lifecycle.clone(),
                tasks: tasks.clone(),
            };
            tasks.spawn(async move {
                connection.serve().await;
                drop(slot);
            });
        }
    }

    /// Where the socket listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn refused(err: &io::Error) {
    // These concern the one connection that is already gone.
    let gone = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
    ];
    if !gone.contains(&err.kind()) {
        tracing::error!(%err, "cannot accept connections");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
