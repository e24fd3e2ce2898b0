//! The task that accepts, and owns the connections.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::pump::{self, Flow};
use super::{Mode, Order};
use crate::error::{Error, Result};
use crate::ports;

/// How often another port is tried when somebody took the first between our look and the bind.
const TRIES: usize = 5;

/// A port, and the connections through it.
pub(super) struct Listener {
    address: SocketAddr,
    /// None while it refuses.
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

    /// Accepts and obeys until nobody can give orders.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((mode, done)) = order else { return };
                    let result = self.obey(mode).await;
                    // Who gave it up does not wait for the answer.
                    let _ = done.send(result);
                }
                client = accept(self.socket.as_ref()) => {
                    let (target, flow) = (self.target.clone(), self.flow.subscribe());
                    self.connections.spawn(pump::connection(client, target, flow));
                }
                // Ended connections are not kept.
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, mode: Mode) -> Result<()> {
        if mode == Mode::Refuse {
            // First, so that no connection slips in between.
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

/// The next client; never one without a socket, or while the system has no descriptors.
async fn accept(socket: Option<&TcpListener>) -> TcpStream {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    loop {
        match socket.accept().await {
            Ok((client, _)) => return client,
            // The client's fault or a shortage; the next try may do.
            Err(_) => tokio::time::sleep(crate::wait::INTERVAL).await,
        }
    }
}
