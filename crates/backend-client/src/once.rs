//! Channels that connect once.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Uri};

use crate::{Address, Endpoint, over_unix};

/// While a call is open, a dead peer is noticed within this and [`PING_TIMEOUT`]. An idle connection
/// is not pinged: servers of grpc-go and grpc-core end it with GOAWAY `too_many_pings` after three
/// pings, and the next call notices a dead peer as fast.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

const HTTPS_PORT: u16 = 443;

impl Endpoint {
    /// A channel that connects when first used, and not again: what was learnt about the driver on a
    /// connection may be false on the next. `on_lost` is called when the connection cannot be made or
    /// has ended; every call fails from then on. The connection is pinged while a call is open.
    #[must_use]
    pub fn channel_once(&self, on_lost: impl Fn() + Send + Sync + 'static) -> Channel {
        self.channel_pinged_every(PING_INTERVAL, on_lost)
    }

    /// As [`Endpoint::channel_once`], with another interval of pings.
    #[must_use]
    pub fn channel_pinged_every(
        &self,
        interval: Duration,
        on_lost: impl Fn() + Send + Sync + 'static,
    ) -> Channel {
        let attempts = Arc::new(Attempts {
            used: AtomicBool::new(false),
            on_lost,
        });
        match &self.address {
            Address::Unix(path) => {
                let path = path.clone();
                let connect = tower::service_fn(move |_: Uri| {
                    let (path, attempts) = (path.clone(), Arc::clone(&attempts));
                    async move { attempts.connect(unix(path)).await.map(TokioIo::new) }
                });
                pinged_every(interval, over_unix()).connect_with_connector_lazy(connect)
            }
            Address::Tcp(endpoint) => {
                let connect = tower::service_fn(move |uri: Uri| {
                    let attempts = Arc::clone(&attempts);
                    async move { attempts.connect(tcp(uri)).await.map(TokioIo::new) }
                });
                pinged_every(interval, (**endpoint).clone()).connect_with_connector_lazy(connect)
            }
        }
    }
}

/// Pings a connection while a call is open.
pub(crate) fn pinged_in_calls(endpoint: tonic::transport::Endpoint) -> tonic::transport::Endpoint {
    pinged_every(PING_INTERVAL, endpoint)
}

fn pinged_every(
    interval: Duration,
    endpoint: tonic::transport::Endpoint,
) -> tonic::transport::Endpoint {
    endpoint
        .http2_keep_alive_interval(interval)
        .keep_alive_timeout(PING_TIMEOUT)
}

async fn unix(path: PathBuf) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

async fn tcp(uri: Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default();
    // An IPv6 address is in brackets in a URI.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(HTTPS_PORT))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The attempts of a channel to connect, of which the first counts.
struct Attempts<F> {
    used: AtomicBool,
    on_lost: F,
}

impl<F: Fn()> Attempts<F> {
    async fn connect<T>(&self, connection: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let connected = if self.used.swap(true, Ordering::AcqRel) {
            Err(io::Error::other("the connection ended"))
        } else {
            connection.await
        };
        connected.inspect_err(|_| (self.on_lost)())
    }
}

#[cfg(test)]
mod tests;
