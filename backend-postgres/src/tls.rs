//! TLS to the database, with the verification levels of libpq's `sslmode`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Error;

/// Verification of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// No verification: encrypted, but without protection from an impostor.
    Nothing,
    /// Verifies the issuer.
    Authority,
    /// Verifies the issuer and the host name.
    AuthorityAndName,
}

/// TLS configuration.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<ClientConfig>);

/// Verifier for all levels but [`Verify::AuthorityAndName`].
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// `None` accepts any certificate.
    authority: Option<Arc<WebPkiServerVerifier>>,
}

impl Tls {
    /// Reads the certificate files.
    pub(crate) fn new(
        verify: Verify,
        root: Option<PathBuf>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Refused(error.to_string()))?;
        let authority = match (verify, root) {
            (Verify::Nothing, _) | (_, None) => None,
            (_, Some(path)) => Some(roots(&path)?),
        };
        let builder = if let (Verify::AuthorityAndName, Some(roots)) = (verify, &authority) {
            builder.with_root_certificates(roots.clone())
        } else {
            let lenient = Lenient::new(provider, authority)?;
            let builder = builder.dangerous();
            builder.with_custom_certificate_verifier(Arc::new(lenient))
        };
        let config = match (certificate, key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = chain(&certificate)?;
                let private =
                    PrivateKeyDer::from_pem_file(&key).map_err(|error| unreadable(&key, &error))?;
                builder
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| unreadable(&certificate, &error))?
            }
            _ => {
                let problem = "sslcert and sslkey must be given together";
                return Err(Error::Refused(problem.to_owned()));
            }
        };
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn connector(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new(ClientConfig::clone(&self.0))
    }
}

impl Lenient {
    fn new(provider: Arc<CryptoProvider>, roots: Option<RootCertStore>) -> Result<Self, Error> {
        let authority = roots.map(|roots| {
            let roots = Arc::new(roots);
            WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build()
        });
        let authority = authority
            .transpose()
            .map_err(|error| Error::Refused(format!("sslrootcert: {error}")))?;
        Ok(Self {
            provider,
            authority,
        })
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = authority.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The verifier checks the name last: everything else is valid.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots
            .add(certificate)
            .map_err(|error| unreadable(path, &error))?;
    }
    Ok(roots)
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
