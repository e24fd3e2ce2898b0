//! Task that accepts connections and owns them.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::pump::{self, Flow};
use super::{Mode, Order};
use crate::error::{Error, Result};
use crate::ports;

/// Number of attempts if another process takes the port between the search and the bind.
const TRIES: usize = 5;

/// A listening port, and the connections through it.
pub(super) struct Listener {
    address: SocketAddr,
    /// `None` while connections are refused.
    socket: Option<TcpListener>,
    target: watch::Receiver<SocketAddr>,
    flow: watch::Sender<Flow>,
    connections: JoinSet<()>,
}

// === impl Listener ===

impl Listener {
    pub(super) async fn bind(target: watch::Receiver<SocketAddr>) -> Result<Self> {
        let mut tries = 0;
        let (address, socket) = loop {
            let address = ports::local(ports::free()?);
            match TcpListener::bind(address).await {
                Ok(socket) => break (address, socket),
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(Error::io(address.to_string())(error)),
            }
        };
        Ok(Self {
            address,
            socket: Some(socket),
            target,
            flow: watch::Sender::new(Flow::Free),
            connections: JoinSet::new(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections and executes commands until the proxy is dropped.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((mode, done)) = order else { return };
                    let result = self.obey(mode).await;
                    // The caller may be gone.
                    let _ = done.send(result);
                }
                client = accept(self.socket.as_ref()) => {
                    let (target, flow) = (self.target.clone(), self.flow.subscribe());
                    self.connections.spawn(pump::connection(client, target, flow));
                }
                // Collect ended connections.
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, mode: Mode) -> Result<()> {
        if mode == Mode::Refuse {
            // Close the listener first, so that no connection slips in between.
            self.socket = None;
        } else if self.socket.is_none() {
            let bound = TcpListener::bind(self.address).await;
            self.socket = Some(bound.map_err(Error::io(self.address.to_string()))?);
        }
        if matches!(mode, Mode::Refuse | Mode::Cut) {
            self.connections.shutdown().await;
        }
        self.flow.send_replace(match mode {
            Mode::Forward | Mode::Refuse | Mode::Cut => Flow::Free,
            Mode::Hang => Flow::Stopped,
            Mode::Delay { min, max } => Flow::Slow { min, max },
        });
        Ok(())
    }
}

/// Accepts the next client. Waits forever without a socket, and while the system has no
/// descriptors.
async fn accept(socket: Option<&TcpListener>) -> TcpStream {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    loop {
        match socket.accept().await {
            Ok((client, _)) => return client,
            // A failed handshake or a shortage of descriptors; retry.
            Err(_) => tokio::time::sleep(crate::wait::INTERVAL).await,
        }
    }
}
