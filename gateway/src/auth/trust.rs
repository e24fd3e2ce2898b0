//! Certificate authorities for users and for front proxies.
//!
//! The two bundles have different meanings: one signs *users*, the other signs *front proxies*,
//! which may act for any user. A certificate is verified against each bundle separately, never
//! against their union.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::Error;

/// The authorities in use; replaced as a whole when a file changes.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Signs client certificates whose subject is the user.
    pub clients: Option<Bundle>,
    /// Signs certificates of front proxies.
    pub front_proxies: Option<Bundle>,
}

/// One set of certificate authorities.
#[derive(Debug, Clone)]
pub struct Bundle {
    verifier: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
}

/// Why a CA file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file contains no certificate.
    #[error("no PEM certificate found")]
    Empty,
    /// A certificate in the text cannot be read.
    #[error("unreadable PEM certificate: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// A certificate cannot act as an authority.
    #[error("unusable CA certificate: {0}")]
    Certificate(String),
}

impl Bundle {
    /// Parses a PEM bundle.
    ///
    /// # Errors
    /// If it contains no certificate, or one that cannot be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BundleError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots
                .add(certificate?)
                .map_err(|err| BundleError::Certificate(err.to_string()))?;
        }
        if roots.is_empty() {
            return Err(BundleError::Empty);
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider)
            .build()
            .map_err(|err| BundleError::Certificate(err.to_string()))?;
        Ok(Self { verifier, roots })
    }

    /// The authorities, whose names the TLS handshake sends as hints.
    pub fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    /// Verifies that `chain` (leaf first) leads to one of these authorities, is valid now and may
    /// identify a client.
    pub(super) fn verify(&self, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
        let (leaf, intermediates) = chain.split_first().ok_or(Error::Anonymous)?;
        self.verifier
            .verify_client_cert(leaf, intermediates, UnixTime::now())
            .map(|_| ())
            .map_err(|err| Error::Untrusted(Arc::new(err)))
    }
}
