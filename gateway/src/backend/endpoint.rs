//! Where the backend listens.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A dead peer is noticed within this and [`PING_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 windows, bytes: enough for a chunk of a list to be under way while one is read.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

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

    /// A connection, made when first used and made again when lost.
    pub(super) fn channel(&self) -> Result<Channel, EndpointError> {
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
        match &self.address {
            Address::Unix(path) => {
                let path = path.clone();
                Ok(
                    endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
                        let path = path.clone();
                        async move { UnixStream::connect(path).await.map(TokioIo::new) }
                    })),
                )
            }
            Address::Https(_) => {
                let tls = self.tls.as_ref().ok_or_else(|| {
                    EndpointError::Tls("https needs a CA, a certificate and a key".to_owned())
                })?;
                let endpoint = endpoint
                    .tls_config(tls.config())
                    .map_err(|error| EndpointError::Tls(error.to_string()))?;
                Ok(endpoint.connect_lazy())
            }
        }
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
