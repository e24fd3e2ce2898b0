//! TLS connections to the server, as the administrator or anonymously.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube_http::Kubeconfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The administrator, by client certificate.
    Admin,
    /// No credentials.
    Anonymous,
}

/// Protocol negotiated by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Time for a connection; afterwards the attack proceeds without it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Address, trust anchors and credentials of a server.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    configs: Arc<[Arc<rustls::ClientConfig>; 4]>,
}

impl Target {
    /// The server of a kubeconfig.
    pub(crate) fn new(config: &Kubeconfig) -> Result<Self> {
        let authority = config.server.trim_start_matches("https://");
        let address = authority.trim_end_matches('/').parse::<SocketAddr>();
        let address = address.with_context(|| format!("{authority} is not an address"))?;
        let make = |identity, protocol| client_config(config, identity, protocol).map(Arc::new);
        Ok(Self {
            address,
            configs: Arc::new([
                make(Identity::Admin, Protocol::Http1)?,
                make(Identity::Admin, Protocol::Http2)?,
                make(Identity::Anonymous, Protocol::Http1)?,
                make(Identity::Anonymous, Protocol::Http2)?,
            ]),
        })
    }

    /// Opens a TCP connection. Attackers use a separate source address, so that a limit per address
    /// protects the neighbour.
    pub(crate) async fn tcp(&self, from: Ipv4Addr) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = timeout(CONNECT_TIMEOUT, socket.connect(self.address)).await;
        let stream = stream.context("no connection within 10 s")??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Opens a connection and completes the handshake.
    pub(crate) async fn tls(
        &self,
        from: Ipv4Addr,
        identity: Identity,
        protocol: Protocol,
    ) -> Result<TlsStream<TcpStream>> {
        let config = match (identity, protocol) {
            (Identity::Admin, Protocol::Http1) => 0,
            (Identity::Admin, Protocol::Http2) => 1,
            (Identity::Anonymous, Protocol::Http1) => 2,
            (Identity::Anonymous, Protocol::Http2) => 3,
        };
        let connector = TlsConnector::from(Arc::clone(&self.configs[config]));
        let name = ServerName::IpAddress(self.address.ip().into());
        let handshake = connector.connect(name, self.tcp(from).await?);
        let stream = timeout(CONNECT_TIMEOUT, handshake).await;
        Ok(stream.context("no TLS handshake within 10 s")??)
    }
}

fn client_config(
    config: &Kubeconfig,
    identity: Identity,
    protocol: Protocol,
) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&config.ca) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut tls = match identity {
        Identity::Anonymous => tls.with_no_client_auth(),
        Identity::Admin => {
            let chain = CertificateDer::pem_slice_iter(&config.certificate);
            let key = PrivateKeyDer::from_pem_slice(&config.key)?;
            tls.with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?
        }
    };
    // Every probe does a full handshake, as those of the kubelet do.
    tls.resumption = rustls::client::Resumption::disabled();
    let name: &[u8] = match protocol {
        Protocol::Http1 => b"http/1.1",
        Protocol::Http2 => b"h2",
    };
    tls.alpn_protocols = vec![name.to_vec()];
    Ok(tls)
}
