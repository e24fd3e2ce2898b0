//! Certificate authorities for users and for front proxies.
//!
//! The two bundles have different meanings: one signs *users*, the other signs *front proxies*,
//! which may act for any user. A certificate is verified against each bundle separately, never
//! against their union.

use std::sync::Arc;

use http::HeaderName;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Error, RequestHeaders, x509};
use crate::kube::informer::{AuthenticationConfig, FrontProxyConfig};

/// The authorities in use; replaced as a whole when a file or the cluster changes one.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Signs client certificates whose subject is the user.
    pub clients: Option<Bundle>,
    /// The accepted front proxies.
    pub front_proxies: Option<FrontProxies>,
}

/// Front proxies, and the headers in which they send users.
#[derive(Debug, Clone)]
pub struct FrontProxies {
    /// Signs their certificates.
    pub authority: Bundle,
    /// Their names and headers.
    pub headers: RequestHeaders,
}

/// One set of certificate authorities.
#[derive(Debug, Clone)]
pub struct Bundle {
    verifier: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    expires: Option<i64>,
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

impl Trust {
    /// The authorities that kube-apiserver published. A bundle that cannot be used is logged, and
    /// the one of `last` remains.
    #[must_use]
    pub fn published(config: &AuthenticationConfig, last: &Self) -> Self {
        let bundle = |key: &str, pem: &Option<Arc<str>>, last: Option<&Bundle>| {
            let pem = pem.as_ref()?;
            match Bundle::from_pem(pem.as_bytes()) {
                Ok(bundle) => Some(bundle),
                Err(error) => {
                    tracing::error!(%error, "cannot use {key} of the cluster, keeping the last one");
                    last.cloned()
                }
            }
        };
        let clients = bundle("client-ca-file", &config.client_ca, last.clients.as_ref());
        let last = last.front_proxies.as_ref();
        let authority = bundle(
            "requestheader-client-ca-file",
            &config.front_proxy_ca,
            last.map(|proxies| &proxies.authority),
        );
        let front_proxies = authority.map(|authority| FrontProxies {
            authority,
            headers: RequestHeaders::published(&config.front_proxy),
        });
        Self {
            clients,
            front_proxies,
        }
    }

    /// These authorities, and those of `other` where these are missing.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            clients: self.clients.or_else(|| other.clients.clone()),
            front_proxies: self.front_proxies.or_else(|| other.front_proxies.clone()),
        }
    }
}

impl RequestHeaders {
    /// The names and headers that kube-apiserver published. A header name that HTTP does not allow
    /// cannot be sent, so it is left out.
    fn published(config: &FrontProxyConfig) -> Self {
        let names = |names: &[String]| {
            let names = names.iter().filter_map(|name| {
                let parsed = HeaderName::try_from(name.as_str());
                if parsed.is_err() {
                    tracing::warn!(name, "ignored an invalid header name of the cluster");
                }
                parsed.ok()
            });
            names.collect()
        };
        let prefixes = config.extra_headers_prefix.iter();
        Self {
            allowed_names: config.allowed_names.clone(),
            username: names(&config.username_headers),
            uid: names(&config.uid_headers),
            group: names(&config.group_headers),
            extra_prefix: prefixes.map(|it| it.to_ascii_lowercase()).collect(),
        }
    }
}

impl Bundle {
    /// Parses a PEM bundle.
    ///
    /// # Errors
    /// If it contains no certificate, or one that cannot be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BundleError> {
        let mut roots = RootCertStore::empty();
        let mut expires = None;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate?;
            let expiry = x509::expiry(&certificate);
            expires = expires.into_iter().chain(expiry).min();
            roots
                .add(certificate)
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
        Ok(Self {
            verifier,
            roots,
            expires,
        })
    }

    /// The authorities, whose names the TLS handshake sends as hints.
    pub fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    /// When the first of them expires; seconds since 1970.
    #[must_use]
    pub const fn expires(&self) -> Option<i64> {
        self.expires
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
