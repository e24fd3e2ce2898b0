//! Endpoints of drivers, and clients for them: on a unix socket, or over mutual TLS.
//!
//! This crate makes connections; it does not depend on the messages sent over them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backend_proto::limits::MAX_MESSAGE_BYTES;
use backend_proto::v1::backend_client::BackendClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, Uri};

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP/2 flow-control windows in bytes: room for a few chunks of a list in flight. The
/// connection's window is larger, so that one stream without a reader does not block the others.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Error of an address or its certificates; the message is for operators.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is neither `unix:///PATH` nor `https://HOST:PORT`.
    #[error(
        "{0}: must be unix:///PATH, or https://HOST:PORT with an authority, a certificate and a key"
    )]
    Address(String),
    /// A certificate or key is invalid.
    #[error("{address}: {source}")]
    Tls {
        /// Address of the driver.
        address: String,
        /// Error of the TLS library.
        source: tonic::transport::Error,
    },
}

/// PEM files for mutual TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate authority of the server.
    pub ca: Vec<u8>,
    /// Client certificate.
    pub cert: Vec<u8>,
    /// Private key of the client certificate.
    pub key: Vec<u8>,
}

/// Address of a driver.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: Address,
}

#[derive(Clone, Debug)]
enum Address {
    Unix(PathBuf),
    Tcp(Box<tonic::transport::Endpoint>),
}

// === impl Endpoint ===

impl Endpoint {
    /// Parses `unix:///PATH`, or `https://HOST:PORT` with its certificates.
    ///
    /// # Errors
    /// If the address is malformed or lacks certificates.
    pub fn parse(address: &str, tls: Option<&Tls>) -> Result<Self, Error> {
        let malformed = || Error::Address(address.to_owned());
        if let Some(path) = address.strip_prefix("unix://") {
            let path = Path::new(path);
            return if path.is_absolute() {
                Ok(Self::unix(path))
            } else {
                Err(malformed())
            };
        }
        let uri: Uri = address.parse().map_err(|_| malformed())?;
        let (Some("https"), Some(tls)) = (uri.scheme_str(), tls) else {
            return Err(malformed());
        };
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&tls.ca))
            .identity(Identity::from_pem(&tls.cert, &tls.key));
        let endpoint = Channel::builder(uri)
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .tls_config(config)
            .map_err(|source| Error::Tls {
                address: address.to_owned(),
                source,
            })?;
        Ok(Self {
            address: Address::Tcp(Box::new(endpoint)),
        })
    }

    /// Returns the endpoint of a unix socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self {
            address: Address::Unix(path.to_path_buf()),
        }
    }

    /// Returns the socket's path, if it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
        }
    }

    /// Creates a client with its own connection, made by the first call.
    #[must_use]
    pub fn client(&self) -> BackendClient<Channel> {
        BackendClient::new(self.channel())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Creates a channel with its own connection, made by the first call, for other services at the
    /// endpoint.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match &self.address {
            Address::Unix(path) => {
                let path = path.clone();
                let connect = move |_: Uri| {
                    let path = path.clone();
                    async move { UnixStream::connect(path).await.map(TokioIo::new) }
                };
                // The host becomes `:authority`.
                Channel::builder(Uri::from_static("http://localhost"))
                    .connect_timeout(CONNECT_TIMEOUT)
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .connect_with_connector_lazy(tower::service_fn(connect))
            }
            Address::Tcp(endpoint) => endpoint.connect_lazy(),
        }
    }
}
