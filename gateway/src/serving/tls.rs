//! The serving certificate, and the request for client certificates.
//!
//! Certificates are requested, not required, and an unknown certificate does not fail the
//! handshake: authenticators validate it later, with a Status that the client can read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::auth::{self, Bundle, RequestHeaders, Trust};

/// Paths of the TLS files.
#[derive(Debug, Clone)]
pub struct Files {
    /// The serving certificate; `None` if it comes from a Secret of the cluster.
    pub serving: Option<ServingFiles>,
    /// PEM bundle that signs users' certificates.
    pub client_ca: Option<PathBuf>,
    /// PEM bundle that signs front proxies' certificates.
    pub request_header_ca: Option<PathBuf>,
    /// Names and headers of the front proxies of that bundle.
    pub request_headers: RequestHeaders,
}

/// Paths of a serving certificate.
#[derive(Debug, Clone)]
pub struct ServingFiles {
    /// PEM chain presented to clients, leaf first.
    pub certificate: PathBuf,
    /// PEM private key of the leaf.
    pub private_key: PathBuf,
}

/// A serving certificate as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

/// Why TLS cannot be configured; the message names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// A file was read but its content is invalid.
    #[error("{0} is invalid: {1}")]
    Unusable(PathBuf, String),
    /// Neither files nor a Secret.
    #[error(
        "no serving certificate: set --tls-cert-file and --tls-private-key-file, or \
         --self-managed-tls-secret"
    )]
    NoCertificate,
    /// The TLS library has no protocol version in common with this server.
    #[error("TLS cannot be configured: {0}")]
    Unsupported(#[source] rustls::Error),
}

/// A parsed certificate of the server with its key.
#[derive(Debug, Clone)]
pub struct ServingCertificate {
    key: Arc<CertifiedKey>,
    expires: Option<i64>,
}

impl KeyPair {
    /// A chain, leaf first, and the key of the leaf.
    #[must_use]
    pub fn new(certificate: String, private_key: String) -> Self {
        Self {
            certificate: certificate.into_bytes(),
            private_key: private_key.into_bytes(),
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

impl Files {
    /// Reads the serving certificate. `managed` is the certificate if it is no file.
    ///
    /// # Errors
    /// If a file cannot be read, or there is no certificate.
    pub fn read_serving(&self, managed: Option<&KeyPair>) -> Result<KeyPair, Error> {
        match (&self.serving, managed) {
            (Some(files), _) => Ok(KeyPair {
                certificate: read(&files.certificate)?,
                private_key: read(&files.private_key)?,
            }),
            (None, Some(pair)) => Ok(pair.clone()),
            (None, None) => Err(Error::NoCertificate),
        }
    }

    /// Parses the serving certificate.
    ///
    /// # Errors
    /// If its content is invalid, or the key is not that of the leaf.
    pub fn parse_serving(&self, pair: &KeyPair) -> Result<ServingCertificate, Error> {
        let managed = Path::new("the self-managed certificate");
        let (certificate, private_key) = match &self.serving {
            Some(files) => (&*files.certificate, &*files.private_key),
            None => (managed, managed),
        };
        let chain = CertificateDer::pem_slice_iter(&pair.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|err| unusable(certificate, &err))?;
        let expires = chain.iter().filter_map(auth::expiry).min();
        let key = PrivateKeyDer::from_pem_slice(&pair.private_key)
            .map_err(|err| unusable(private_key, &err))?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|err| unusable(certificate, &err))?;
        Ok(ServingCertificate {
            key: Arc::new(key),
            expires,
        })
    }
}

impl ServingCertificate {
    /// When the first certificate of the chain expires; seconds since 1970.
    #[must_use]
    pub const fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// The configuration of new connections, which names `trust` to clients.
    ///
    /// # Errors
    /// If the TLS library rejects it.
    pub fn config(&self, trust: &Trust) -> Result<ServerConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(Error::Unsupported)?
            .with_client_cert_verifier(Arc::new(AskForCertificate::new(trust, provider)))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.key.clone())));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Reads a file.
///
/// # Errors
/// If that fails.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|err| Error::Unreadable(path.to_owned(), err))
}

/// Parses the authorities of a file.
///
/// # Errors
/// If there are none, or one cannot be used.
pub(super) fn parse_bundle(path: &Path, pem: &[u8]) -> Result<Bundle, Error> {
    Bundle::from_pem(pem).map_err(|err| unusable(path, &err))
}

fn unusable(path: &Path, err: &dyn std::error::Error) -> Error {
    Error::Unusable(path.to_owned(), err.to_string())
}

/// Requests a certificate and verifies only that the client holds its key.
#[derive(Debug)]
struct AskForCertificate {
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

impl AskForCertificate {
    fn new(trust: &Trust, provider: Arc<CryptoProvider>) -> Self {
        let proxies = trust.front_proxies.iter();
        let proxies = proxies.map(|proxies| &proxies.authority);
        let bundles = trust.clients.iter().chain(proxies);
        let hints = bundles
            .flat_map(|bundle| bundle.roots().subjects())
            .collect();
        Self { hints, provider }
    }
}

impl ClientCertVerifier for AskForCertificate {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
