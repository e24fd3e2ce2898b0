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
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::auth::{self, Bundle, FrontProxies, RequestHeaders, Trust};

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

/// Contents of the files that determine the TLS state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    serving: KeyPair,
    client_ca: Option<Vec<u8>>,
    request_header_ca: Option<Vec<u8>>,
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
}

/// State of the listener, and of the authenticators.
#[derive(Debug)]
pub struct Built {
    /// Configuration of new connections.
    pub config: Arc<ServerConfig>,
    /// Authorities of clients.
    pub trust: Trust,
    /// When the first certificate of the serving chain expires; seconds since 1970.
    pub expires: Option<i64>,
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
    /// Reads all files. `managed` is the serving certificate if there is no file of it.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read(&self, managed: Option<&KeyPair>) -> Result<Contents, Error> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|err| Error::Unreadable(path.to_owned(), err))
        };
        let serving = match (&self.serving, managed) {
            (Some(files), _) => KeyPair {
                certificate: read(&files.certificate)?,
                private_key: read(&files.private_key)?,
            },
            (None, Some(pair)) => pair.clone(),
            (None, None) => return Err(Error::NoCertificate),
        };
        Ok(Contents {
            serving,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
            request_header_ca: self.request_header_ca.as_deref().map(read).transpose()?,
        })
    }

    /// Builds the state of the listener and of the authenticators from the contents. Authorities
    /// without a file are those of the cluster.
    ///
    /// # Errors
    /// If a file has invalid content.
    pub fn build(&self, contents: &Contents, cluster: &Trust) -> Result<Built, Error> {
        let bundle = |path: &Option<PathBuf>, pem: &Option<Vec<u8>>| {
            let (Some(path), Some(pem)) = (path, pem) else {
                return Ok(None);
            };
            Bundle::from_pem(pem)
                .map(Some)
                .map_err(|err| unusable(path, &err))
        };
        let authority = bundle(&self.request_header_ca, &contents.request_header_ca)?;
        let files = Trust {
            clients: bundle(&self.client_ca, &contents.client_ca)?,
            front_proxies: authority.map(|authority| FrontProxies {
                authority,
                headers: self.request_headers.clone(),
            }),
        };
        let trust = files.or(cluster);
        let (certificate, private_key) = match &self.serving {
            Some(files) => (&*files.certificate, &*files.private_key),
            None => {
                let name = Path::new("the self-managed certificate");
                (name, name)
            }
        };
        let serving = &contents.serving;
        let chain = CertificateDer::pem_slice_iter(&serving.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|err| unusable(certificate, &err))?;
        let expires = chain.iter().filter_map(auth::expiry).min();
        let key = PrivateKeyDer::from_pem_slice(&serving.private_key)
            .map_err(|err| unusable(private_key, &err))?;
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|err| unusable(certificate, &err))?
            .with_client_cert_verifier(Arc::new(AskForCertificate::new(&trust, provider)))
            .with_single_cert(chain, key)
            .map_err(|err| unusable(certificate, &err))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Built {
            config: Arc::new(config),
            trust,
            expires,
        })
    }
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
