//! Opens connections to webhooks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring;
use rustls::{ClientConfig as TlsConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::credentials::User;
use super::failure::{CallFailure, io_text, system_text};
use super::location::Location;
use super::verifier::Verifier;
use crate::kube::Services;
use crate::kube::services::Address;

/// Opens connections to one webhook.
pub(super) struct Dialer {
    tls: TlsConnector,
    name: ServerName<'static>,
    services: Services,
}

impl Dialer {
    /// Verifies the webhook by its `caBundle`, in base64, or by the authorities of the system.
    pub(super) fn new(
        location: &Location,
        bundle: Option<&str>,
        user: Option<&User>,
        system: impl FnOnce() -> Arc<RootCertStore>,
        services: Services,
    ) -> Result<Self, String> {
        let name = ServerName::try_from(location.host.clone());
        let name = name.map_err(|error| format!("{}: {error}", location.host))?;
        let (bundle, roots) = match bundle.filter(|bundle| !bundle.is_empty()) {
            Some(bundle) => roots(bundle)?,
            None => (Vec::new(), system()),
        };
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(bundle, roots, Arc::clone(&provider))?;
        let config = TlsConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match user.and_then(User::certificate) {
            Some((chain, key)) => config
                .with_client_auth_cert(chain, key)
                .map_err(|error| error.to_string())?,
            None => config.with_no_client_auth(),
        };
        // One connection per call in flight, so that calls spread over the pods of a Service
        // (kubernetes#75791).
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            name,
            services,
        })
    }

    /// A new connection.
    pub(super) async fn dial(
        &self,
        location: &Location,
    ) -> Result<TlsStream<TcpStream>, CallFailure> {
        let stream = self.connect(location).await?;
        let _ = stream.set_nodelay(true);
        let connected = self.tls.connect(self.name.clone(), stream).await;
        connected.map_err(|error| CallFailure::Transport(io_text(&error)))
    }

    async fn connect(&self, location: &Location) -> Result<TcpStream, CallFailure> {
        let port = location.port;
        let Some((namespace, name)) = &location.service else {
            return match location.host.parse::<IpAddr>() {
                Ok(ip) => connect_to(SocketAddr::new(ip, port)).await,
                Err(_) => connect_by_name(&location.host, port).await,
            };
        };
        let address = self.services.resolve(namespace, name, port).await;
        match address.map_err(|error| CallFailure::Transport(error.to_string()))? {
            Address::Ip(ip) => connect_to(SocketAddr::new(ip, port)).await,
            Address::Name(name) => connect_by_name(&name, port).await,
        }
    }
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream, CallFailure> {
    let connected = TcpStream::connect(address).await;
    connected.map_err(|error| {
        let error = system_text(&error);
        CallFailure::Transport(format!("dial tcp {address}: connect: {error}"))
    })
}

async fn connect_by_name(host: &str, port: u16) -> Result<TcpStream, CallFailure> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found.map(Iterator::collect).unwrap_or_default();
    let mut failure = CallFailure::Transport(format!("dial tcp: lookup {host}: no such host"));
    // Loopback names have an address of each family. bounded: by the call's timeout.
    for address in found {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The certificates of a `caBundle`, and the authorities in them.
fn roots(bundle: &str) -> Result<(Vec<CertificateDer<'static>>, Arc<RootCertStore>), String> {
    let pem = STANDARD.decode(bundle).map_err(|error| error.to_string())?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("unable to load root certificates from caBundle".to_owned());
    }
    Ok((certificates, Arc::new(roots)))
}

/// The authorities of the system, for webhooks without a `caBundle`. Reads files.
pub(super) fn system_roots() -> Arc<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read an authority of the system");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    Arc::new(roots)
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Dialer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
