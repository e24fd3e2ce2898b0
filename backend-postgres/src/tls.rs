//! TLS to the database, with the verification levels of libpq's `sslmode`.

mod chain;
mod name;
mod verifier;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::Error;
use verifier::{Anchors, Verifier};

pub(crate) use verifier::distrust;

/// Protocol that a server expects in a handshake without a preceding request for TLS.
const ALPN: &[u8] = b"postgresql";

/// Certificates that are trusted to issue the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// Those of the operating system.
    System,
    /// Those of a PEM file.
    File(PathBuf),
}

/// Settings of TLS.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `None` accepts any certificate: encrypted, but without protection from an impostor.
    pub(crate) root: Option<Root>,
    /// Whether the certificate must name the host.
    pub(crate) verify_name: bool,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// Whether the handshake names the host.
    pub(crate) server_name: bool,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    /// Whether the connection begins with the handshake.
    pub(crate) direct: bool,
}

/// TLS configuration.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the certificate files.
    pub(crate) fn new(settings: Settings) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&settings.versions)
            .map_err(|error| Error::Refused(error.to_string()))?;
        let anchors = match settings.root {
            None => None,
            Some(Root::System) => Some(Anchors::system(&provider)?),
            Some(Root::File(path)) => Some(Anchors::file(&path, chain(&path)?, &provider)?),
        };
        let verifier = Verifier::new(provider.clone(), anchors, settings.verify_name);
        let builder = builder.dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (settings.certificate, settings.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let client = client_key(&certificate, &key, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client)))
            }
            _ => {
                let problem = "sslcert and sslkey must be given together";
                return Err(Error::Refused(problem.to_owned()));
            }
        };
        config.enable_sni = settings.server_name;
        if settings.direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn connector(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new(ClientConfig::clone(&self.0))
    }
}

/// Reads a client certificate and its key. rustls would read them, but not X.509 version 1.
fn client_key(
    certificate: &Path,
    key: &Path,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<CertifiedKey, Error> {
    let chain = chain(certificate)?;
    let text = std::fs::read(key).map_err(|error| unreadable(key, &error))?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = String::from_utf8_lossy(&text).contains("ENCRYPTED");
        let advice = "it is encrypted: decrypt it, for example with `openssl pkey`";
        if encrypted {
            unreadable(key, &advice)
        } else {
            unreadable(key, &error)
        }
    })?;
    let private = provider.key_provider.load_private_key(private);
    let private = private.map_err(|error| unreadable(key, &error))?;
    let (_, parsed) = X509Certificate::from_der(chain.first().map_or(&[], |first| first.as_ref()))
        .map_err(|error| unreadable(certificate, &error))?;
    let public = private.public_key();
    if public.is_some_and(|public| public.as_ref() != parsed.public_key().raw) {
        let problem = format!("it does not belong to {}", certificate.display());
        return Err(unreadable(key, &problem));
    }
    Ok(CertifiedKey::new(chain, private))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(path, &error))?;
    if certificates.is_empty() {
        return Err(unreadable(path, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn unreadable(path: &Path, problem: &dyn std::fmt::Display) -> Error {
    Error::Refused(format!("cannot use {}: {problem}", path.display()))
}
