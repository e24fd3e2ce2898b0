//! Where the backend listens.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::backend::link::Spent;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A dead peer is noticed within this and [`PING_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 windows, bytes: enough for a chunk of a list to be under way while one is read.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const HTTPS_PORT: u16 = 443;

/// Where the backend listens and how to prove who is who.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: Address,
    tls: Option<Tls>,
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Neither `unix:///…` nor `https://…`.
    #[error("backend {0:?} must be unix:///PATH or https://HOST:PORT")]
    Form(String),
    /// The certificates do not fit.
    #[error("backend certificates cannot be used: {0}")]
    Tls(String),
}

#[derive(Clone, Debug)]
enum Address {
    Unix(PathBuf),
    Https(String),
}

#[derive(Clone)]
struct Tls {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Endpoint {
    /// Adds the CA that signed the backend's certificate, and this side's certificate and key, all
    /// PEM. Needed for https.
    #[must_use]
    pub fn with_tls(mut self, ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        self.tls = Some(Tls {
            ca,
            certificate,
            key,
        });
        self
    }

    /// A connection, made when first used. Once lost it is `spent`, and every call on it fails.
    pub(super) fn channel(&self, spent: Spent) -> Result<Channel, EndpointError> {
        let uri = match &self.address {
            // The host of a unix socket; becomes `:authority`.
            Address::Unix(_) => "http://localhost".to_owned(),
            Address::Https(uri) => uri.clone(),
        };
        let endpoint = Channel::from_shared(uri.clone())
            .map_err(|_| EndpointError::Form(uri))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .tcp_nodelay(true);
        let once = Once::new(spent);
        match &self.address {
            Address::Unix(path) => {
                let path = path.clone();
                let connect = tower::service_fn(move |_: Uri| {
                    let (path, turn) = (path.clone(), once.turn());
                    async move {
                        let connected = UnixStream::connect(path);
                        turn.take(connected).await.map(TokioIo::new)
                    }
                });
                Ok(endpoint.connect_with_connector_lazy(connect))
            }
            Address::Https(_) => {
                let tls = self.tls.as_ref().ok_or_else(|| {
                    EndpointError::Tls("https needs a CA, a certificate and a key".to_owned())
                })?;
                let endpoint = endpoint
                    .tls_config(tls.config())
                    .map_err(|error| EndpointError::Tls(error.to_string()))?;
                let connect = tower::service_fn(move |uri: Uri| {
                    let turn = once.turn();
                    async move { turn.take(tcp(uri)).await.map(TokioIo::new) }
                });
                Ok(endpoint.connect_with_connector_lazy(connect))
            }
        }
    }
}

async fn tcp(uri: Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default();
    // An IPv6 address is in brackets in a URI.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(HTTPS_PORT))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Lets a channel connect once.
struct Once {
    used: AtomicBool,
    spent: Spent,
}

/// An attempt of a channel to connect.
struct Turn {
    first: bool,
    spent: Spent,
}

impl Once {
    const fn new(spent: Spent) -> Self {
        Self {
            used: AtomicBool::new(false),
            spent,
        }
    }

    fn turn(&self) -> Turn {
        Turn {
            first: !self.used.swap(true, Ordering::AcqRel),
            spent: self.spent.clone(),
        }
    }
}

impl Turn {
    async fn take<T>(self, connected: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let connected = if self.first {
            connected.await
        } else {
            Err(io::Error::other("the connection ended"))
        };
        connected.inspect_err(|_| self.spent.note())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let address = if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(EndpointError::Form(text.to_owned()));
            }
            Address::Unix(path.into())
        } else if text
            .strip_prefix("https://")
            .is_some_and(|host| !host.is_empty())
        {
            Address::Https(text.to_owned())
        } else {
            return Err(EndpointError::Form(text.to_owned()));
        };
        Ok(Self { address, tls: None })
    }
}

impl Tls {
    fn config(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.ca))
            .identity(Identity::from_pem(&self.certificate, &self.key))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Tls")
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn only_absolute_sockets_and_https_are_endpoints() {
        for good in ["unix:///run/ark.sock", "https://backend:7443"] {
            assert!(good.parse::<Endpoint>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "unix://run/ark.sock",
            "http://backend:80",
            "https://",
            "/run/ark.sock",
        ] {
            let error = bad.parse::<Endpoint>().expect_err(bad).to_string();
            assert!(
                error.contains("must be unix:///PATH or https://HOST:PORT"),
                "{error}"
            );
        }
    }
}
