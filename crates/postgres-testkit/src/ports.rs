//! Free TCP ports outside the ephemeral range.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rand::Rng as _;

use crate::error::{Error, Result};

/// Below the kernel's range for outgoing connections, so that the port of a server is still free
/// when the server restarts.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Number of attempts; most ports are free.
const TRIES: usize = 200;

/// Returns a port of 127.0.0.1 without a listener; another process may take it before it is used.
///
/// # Errors
/// [`Error::State`] if no free port was found.
pub fn free() -> Result<u16> {
    let mut random = rand::rng();
    (0..TRIES)
        .map(|_| random.random_range(RANGE))
        .find(|port| TcpListener::bind(local(*port)).is_ok())
        .ok_or_else(|| Error::State(format!("no free port among {TRIES} of {RANGE:?}")))
}

/// Returns the local address of a port.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
