//! Addresses of drivers, and connections to them: on a unix socket, or over mutual TLS. The calls of
//! the protocol are those of `backend-proto`.

mod once;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use backend_proto::limits::MAX_MESSAGE_BYTES;
use backend_proto::v1::backend_client::BackendClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, Uri};

/// Time to make one connection. Below the 5 s within which a probe must show that a driver is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// HTTP/2 windows, bytes: enough for some chunks of a list to be in flight while one is read. The
/// window of a connection is larger, so that a stream that is not read does not block the others.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What is wrong with an address or its certificates. Each is a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `unix:///PATH` nor `https://HOST:PORT`.
    #[error(
        "{0}: must be unix:///PATH, or https://HOST:PORT with an authority, a certificate and a key"
    )]
    Address(String),
    /// A certificate or key does not fit.
    #[error("{address}: {source}")]
    Tls {
        /// The address.
        address: String,
        /// What the TLS library says.
        source: tonic::transport::Error,
    },
}

/// PEM files for mutual TLS.
#[derive(Clone)]
pub struct Tls {
    /// Authority that signed the certificate of the driver.
    pub ca: Vec<u8>,
    /// Certificate of the client.
    pub cert: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

/// An address that clients can be made for.
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
    /// Reads `unix:///PATH`, or `https://HOST:PORT` with its certificates.
    ///
    /// # Errors
    /// If the address is malformed or lacks what it needs.
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
        let endpoint = configured(uri)
            .tcp_nodelay(true)
            .tls_config(config)
            .map_err(|source| Error::Tls {
                address: address.to_owned(),
                source,
            })?;
        Ok(Self {
            address: Address::Tcp(Box::new(endpoint)),
        })
    }

    /// A unix socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self {
            address: Address::Unix(path.to_path_buf()),
        }
    }

    /// The socket's path, if it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
        }
    }

    /// A client on a connection of its own, made by the first call.
    #[must_use]
    pub fn client(&self) -> BackendClient<Channel> {
        BackendClient::new(self.channel())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The same, and the connection is pinged while a call is open: if the driver's process hangs,
    /// every call fails within 15 s.
    #[must_use]
    pub fn pinged_client(&self) -> BackendClient<Channel> {
        BackendClient::new(self.connect(once::pinged_in_calls))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// A connection of its own, made by the first call, for other services at the endpoint.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.connect(|endpoint| endpoint)
    }

    fn connect(
        &self,
        configure: fn(tonic::transport::Endpoint) -> tonic::transport::Endpoint,
    ) -> Channel {
        match &self.address {
            Address::Unix(path) => {
                let path = path.clone();
                let connect = move |_: Uri| {
                    let path = path.clone();
                    async move { UnixStream::connect(path).await.map(TokioIo::new) }
                };
                configure(over_unix()).connect_with_connector_lazy(tower::service_fn(connect))
            }
            Address::Tcp(endpoint) => configure((**endpoint).clone()).connect_lazy(),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// Reads `unix:///PATH`.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text, None)
    }
}

// === impl Tls ===

impl fmt::Debug for Tls {
    /// Without the private key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tls")
    }
}

fn configured(uri: Uri) -> tonic::transport::Endpoint {
    Channel::builder(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
}

/// The host of a unix socket is what `:authority` becomes.
fn over_unix() -> tonic::transport::Endpoint {
    configured(Uri::from_static("http://localhost"))
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Tls};

    #[test]
    fn only_absolute_sockets_and_https_with_certificates_are_endpoints() {
        assert!(Endpoint::parse("unix:///run/ark.sock", None).is_ok());
        for bad in [
            "",
            "unix://run/ark.sock",
            "http://backend:80",
            "https://",
            "https://backend:7443",
            "/run/ark.sock",
        ] {
            let error = Endpoint::parse(bad, None).expect_err(bad).to_string();
            assert!(
                error.contains("must be unix:///PATH, or https://HOST:PORT"),
                "{error}"
            );
        }
        let (ca, cert, key) = (Vec::new(), Vec::new(), b"secret".to_vec());
        assert_eq!(format!("{:?}", Tls { ca, cert, key }), "Tls");
    }
}
