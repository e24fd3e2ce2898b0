//! A TCP proxy that simulates network faults.

mod listener;
mod pump;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::DEADLINE;
use crate::error::{Error, Result};
use listener::Listener;

/// Treatment of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forwards bytes.
    Forward,
    /// A black hole: connections stay open and new ones are accepted, but no bytes pass, not even a
    /// close.
    Hang,
    /// Closes connections and refuses new ones.
    Refuse,
    /// Closes connections once; then as [`Mode::Forward`].
    Cut,
    /// Delays every piece (at most 16 KiB) by a random time.
    Delay {
        /// Minimum delay.
        min: Duration,
        /// Maximum delay.
        max: Duration,
    },
}

/// A command to the listener, with a channel for its result.
pub(crate) type Order = (Mode, oneshot::Sender<Result<()>>);

/// A proxy in front of one address; when dropped, its connections are closed.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
    target: watch::Sender<SocketAddr>,
    tasks: JoinSet<()>,
}

// === impl Proxy ===

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        // One command at a time; further callers wait.
        let (orders, inbox) = mpsc::channel(1);
        let (target, targets) = watch::channel(target);
        let listener = Listener::bind(targets).await?;
        let address = listener.address();
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.run(inbox));
        Ok(Self {
            address,
            orders,
            target,
            tasks,
        })
    }

    /// Returns the address for clients; it never changes.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a server's DSN with the proxy's address.
    #[must_use]
    pub fn dsn(&self, of_server: &str) -> String {
        let target = self.target.borrow().to_string();
        of_server.replacen(&target, &self.address.to_string(), 1)
    }

    /// Changes the mode; returns once it is in effect: connections are closed, or the port refuses.
    ///
    /// # Errors
    /// If another process took the port while the proxy refused connections.
    pub async fn set(&self, mode: Mode) -> Result<()> {
        let gone = |_| Error::State("the proxy's task has ended".to_owned());
        let (done, response) = oneshot::channel();
        let ordered = async {
            let sent = self.orders.send((mode, done)).await;
            sent.map_err(|_| gone(()))?;
            response.await.map_err(|_| gone(()))?
        };
        let ended = timeout(DEADLINE, ordered).await;
        ended.unwrap_or_else(|_| {
            Err(Error::DeadlineExceeded {
                what: format!("the proxy to {mode:?}"),
                waited: DEADLINE,
                last: "no answer of its task".to_owned(),
            })
        })
    }

    /// Forwards new connections to another server, like an address that moves in a fail-over; open
    /// connections are not moved.
    pub fn move_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }

    /// Closes everything and waits for the tasks; dropping does it without waiting.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
