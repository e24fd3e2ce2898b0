//! Ports that nobody takes by accident.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rand::Rng as _;

use crate::error::{Error, Result};

/// Below the ports that the kernel gives to outgoing connections, so that a server which is down
/// for a moment finds its port free when it comes back.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// How many are tried; most are free.
const TRIES: usize = 200;

/// A port of 127.0.0.1 on which nobody listens; another process may take it before it is used.
///
/// # Errors
/// [`Error::State`] if there is none among many.
pub fn free() -> Result<u16> {
    let mut random = rand::rng();
    (0..TRIES)
        .map(|_| random.random_range(RANGE))
        .find(|port| TcpListener::bind(local(*port)).is_ok())
        .ok_or_else(|| Error::State(format!("no free port among {TRIES} of {RANGE:?}")))
}

/// The address of a port on this machine.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
