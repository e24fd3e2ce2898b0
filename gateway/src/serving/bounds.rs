//! Limits of connections before and between requests.

use std::time::Duration;

/// Open connections, if the descriptor limit allows it.
pub const MAX_CONNECTIONS: usize = 16_384;
/// Connections of clients without a valid certificate, including handshakes. Probes need a handful.
/// 512 unauthenticated connections hold at most 80 MiB (see [`UNAUTHENTICATED_HEAD_BYTES`]).
pub const MAX_UNAUTHENTICATED: usize = 512;
/// Divisor of the connections for clients without a valid certificate, if descriptors are short.
const UNAUTHENTICATED_SHARE: usize = 4;
/// Descriptors that are not for clients: connections to the driver, files, signals, epoll.
const RESERVED_DESCRIPTORS: usize = 128;

/// Largest head of a request of a client with a valid certificate: Go's `DefaultMaxHeaderBytes`,
/// which kube-apiserver uses.
pub const HEAD_BYTES: u32 = 1 << 20;
/// The same before authentication: large enough for any token, small enough for all connections at
/// once. Besides its head, such a connection holds at most 64 KiB of an unfinished handshake and 64
/// KiB of unread bodies.
pub const UNAUTHENTICATED_HEAD_BYTES: u32 = 32 << 10;
/// Headers of one HTTP/1.1 request; a front proxy sends one per group of the user. kube-apiserver
/// accepts 16,384 (`maxHeaderValueCount`); here each costs every request 64 bytes while its head is
/// parsed. kube-aggregator uses HTTP/2, where only [`HEAD_BYTES`] applies.
pub const HEADERS: usize = 1_024;

/// Limits on the number of connections, and timeouts while they wait for their client.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Descriptors that the process may open.
    pub descriptors: usize,
    /// Open connections.
    pub connections: usize,
    /// Of these, connections without a valid certificate; the others are reserved for clients with
    /// one.
    pub unauthenticated: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the handshake to the HTTP/2 preface; Go's `prefaceTimeout`.
    pub preface: Duration,
    /// From accept to the first complete head, and from the first byte of a later HTTP/1.1 head to
    /// its last; kube-apiserver's `ReadHeaderTimeout`. Also bounds a request of a client without a
    /// valid certificate.
    pub head: Duration,
    /// Between requests; kube-apiserver's `IdleTimeout`.
    pub idle: Duration,
    /// From the announcement that a connection closes to its close.
    pub goodbye: Duration,
    /// How long the rest of a rejected request is read, so that its client reads the response
    /// before the connection is reset.
    pub linger: Duration,
    /// Bytes of it that are read.
    pub linger_bytes: u64,
    /// The linger time before authentication; Go's `rstAvoidanceDelay`.
    pub unauthenticated_linger: Duration,
}

impl Bounds {
    /// The limits of a process that may open this many descriptors.
    #[must_use]
    pub fn of_descriptors(descriptors: usize) -> Self {
        let connections = descriptors
            .saturating_sub(RESERVED_DESCRIPTORS)
            .clamp(UNAUTHENTICATED_SHARE, MAX_CONNECTIONS);
        Self {
            descriptors,
            connections,
            unauthenticated: MAX_UNAUTHENTICATED.min(connections / UNAUTHENTICATED_SHARE),
            handshake: Duration::from_secs(10),
            preface: Duration::from_secs(10),
            head: Duration::from_secs(32),
            idle: Duration::from_secs(90),
            goodbye: Duration::from_secs(1),
            linger: Duration::from_secs(5),
            linger_bytes: 64 << 20,
            unauthenticated_linger: Duration::from_millis(500),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_bounds_follow_descriptor_limit() {
        for (descriptors, connections, unauthenticated) in [
            (0, 4, 1),
            (256, 128, 32),
            (1_024, 896, 224),
            (20_000, MAX_CONNECTIONS, MAX_UNAUTHENTICATED),
            (1 << 30, MAX_CONNECTIONS, MAX_UNAUTHENTICATED),
        ] {
            let bounds = Bounds::of_descriptors(descriptors);
            assert_eq!(bounds.connections, connections, "{descriptors}");
            assert_eq!(bounds.unauthenticated, unauthenticated, "{descriptors}");
        }
    }
}
