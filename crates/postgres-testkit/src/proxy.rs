//! A TCP proxy that does what networks do.

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

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes pass.
    Forward,
    /// A black hole: connections are open, new ones too, and nothing moves, not even their end.
    Hang,
    /// Connections are closed and new ones are refused.
    Refuse,
    /// Connections are closed once; then as [`Mode::Forward`].
    Cut,
    /// Every piece (at most 16 KiB) waits for a random time.
    Delay {
        /// The shortest wait.
        min: Duration,
        /// The longest.
        max: Duration,
    },
}

/// An order to the listener; answered when it is carried out.
pub(crate) type Order = (Mode, oneshot::Sender<Result<()>>);

/// A proxy in front of one address; its connections are closed when it is dropped.
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
        // One order at a time; who gives the next one waits.
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

    /// Where clients connect; the same for life.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A DSN of a server, with the proxy's address in place of the server's.
    #[must_use]
    pub fn dsn(&self, of_server: &str) -> String {
        let target = self.target.borrow().to_string();
        of_server.replacen(&target, &self.address.to_string(), 1)
    }

    /// Changes the mode; done when it is so: closed connections are closed, a refusing port refuses.
    ///
    /// # Errors
    /// If somebody took the port while it refused.
    pub async fn set(&self, mode: Mode) -> Result<()> {
        let gone = |_| Error::State("the proxy's task has ended".to_owned());
        let (done, answer) = oneshot::channel();
        let ordered = async {
            let sent = self.orders.send((mode, done)).await;
            sent.map_err(|_| gone(()))?;
            answer.await.map_err(|_| gone(()))?
        };
        let ended = timeout(DEADLINE, ordered).await;
        ended.unwrap_or_else(|_| {
            Err(Error::Late {
                what: format!("the proxy to {mode:?}"),
                waited: DEADLINE,
                last: "no answer of its task".to_owned(),
            })
        })
    }

    /// Forwards new connections to another server, as an address that moves in a fail-over; those
    /// that are open stay where they are.
    pub fn move_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }

    /// Closes everything and waits for the tasks; drop does it without waiting.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
