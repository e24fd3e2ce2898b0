//! Verification of the server's certificate with the results of libpq, which uses OpenSSL.
//!
//! webpki verifies the chain, except in two cases that it rejects and OpenSSL accepts: certificates
//! of X.509 version 1, which the PostgreSQL manual's commands make, and those that are an authority,
//! such as a self-signed certificate that is its own root. `chain` verifies these. See ADR 22.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, PeerMisbehaved, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use super::{chain, name, unreadable};
use crate::error::Error;

/// Trusted certificates.
#[derive(Debug)]
pub(super) struct Anchors {
    certificates: Vec<CertificateDer<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
    /// Where they are from, for messages.
    place: String,
}

/// Verifier of the server's certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` accepts any certificate.
    anchors: Option<Anchors>,
    verify_name: bool,
}

/// Reason why a certificate is not trusted, as a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Distrust(String);

/// Returns the sentence of an error of this verifier.
pub(crate) fn distrust(error: &rustls::Error) -> Option<String> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            inner.downcast_ref::<Distrust>().map(ToString::to_string)
        }
        _ => None,
    }
}

impl Anchors {
    /// The certificates of a file.
    pub(super) fn file(
        path: &Path,
        certificates: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|error| unreadable(path, &error))?;
        }
        Self::new(certificates, roots, path.display().to_string(), provider)
    }

    /// The certificates of the operating system.
    pub(super) fn system(provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // A store may contain certificates of ancient algorithms.
        let (added, _) = roots.add_parsable_certificates(found.certs.iter().cloned());
        if added == 0 {
            let problem = found.errors.first().map(ToString::to_string);
            let problem = problem.unwrap_or_else(|| "none was found".to_owned());
            return Err(Error::Refused(format!(
                "sslrootcert=system: the operating system has no trusted certificates: {problem}"
            )));
        }
        let place = "the operating system's trusted certificates".to_owned();
        Self::new(found.certs, roots, place, provider)
    }

    fn new(
        certificates: Vec<CertificateDer<'static>>,
        roots: RootCertStore,
        place: String,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let webpki = builder
            .build()
            .map_err(|error| Error::Refused(format!("sslrootcert: {error}")))?;
        Ok(Self {
            certificates,
            webpki,
            place,
        })
    }

    /// Verifies the chain; returns why it is not trusted.
    fn verify(
        &self,
        leaf: &X509Certificate<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), String> {
        let is_self_signed = leaf.issuer().as_raw() == leaf.subject().as_raw();
        if leaf.version() == X509Version::V1 || is_self_signed || leaf.is_ca() {
            return chain::verify(leaf, end_entity, intermediates, &self.certificates, now)
                .map_err(|problem| self.sentence(leaf, &problem));
        }
        let verified =
            self.webpki
                .verify_server_cert(end_entity, intermediates, server_name, &[], now);
        match verified {
            // The name is checked last, and by libpq's rules in `name`.
            Ok(_)
            | Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            Err(error) => Err(self.explain(leaf, &error)),
        }
    }

    fn explain(&self, leaf: &X509Certificate<'_>, error: &rustls::Error) -> String {
        let rustls::Error::InvalidCertificate(cause) = error else {
            return error.to_string();
        };
        match cause {
            CertificateError::UnknownIssuer => {
                let problem = chain::Problem::unknown_issuer(leaf);
                self.sentence(leaf, &problem) + " (UnknownIssuer)"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                self.sentence(leaf, &chain::Problem::Expired)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                self.sentence(leaf, &chain::Problem::NotValidYet)
            }
            _ => format!("{}: {error}", subject(leaf)),
        }
    }

    fn sentence(&self, leaf: &X509Certificate<'_>, problem: &chain::Problem) -> String {
        format!("{}: {}", subject(leaf), problem.describe(&self.place))
    }
}

fn subject(leaf: &X509Certificate<'_>) -> String {
    format!(
        "the server's certificate ({}) is not trusted",
        leaf.subject()
    )
}

fn untrusted(sentence: String) -> rustls::Error {
    let other = OtherError(Arc::new(Distrust(sentence)));
    rustls::Error::InvalidCertificate(CertificateError::Other(other))
}

impl Verifier {
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        anchors: Option<Anchors>,
        verify_name: bool,
    ) -> Self {
        Self {
            provider,
            anchors,
            verify_name,
        }
    }
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, rustls::Error> {
    let parsed = X509Certificate::from_der(certificate);
    parsed
        .map(|(_, parsed)| parsed)
        .map_err(|error| untrusted(format!("the server's certificate is malformed: {error}")))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(anchors) = &self.anchors {
            let leaf = parsed(end_entity)?;
            let verified = anchors.verify(&leaf, end_entity, intermediates, server_name, now);
            verified.map_err(untrusted)?;
            if self.verify_name {
                name::check(&leaf, server_name).map_err(untrusted)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = parsed(certificate)?;
        let key = certificate.public_key();
        let algorithms = &self.provider.signature_verification_algorithms;
        let candidates = algorithms.mapping.iter();
        let mut candidates = candidates.filter(|(scheme, _)| *scheme == signature.scheme);
        let (_, candidates) = candidates
            .next()
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // TLS 1.2 leaves the curve open, so each is tried.
        let matches = candidates.iter().any(|algorithm| {
            let identifier = algorithm.public_key_alg_id();
            // The identifier begins with the DER of the object identifier: tag, length, value.
            let kind = identifier.as_ref().get(2..).unwrap_or_default();
            kind.starts_with(key.algorithm.algorithm.as_bytes())
                && algorithm
                    .verify_signature(&key.subject_public_key.data, message, signature.signature())
                    .is_ok()
        });
        if matches {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = parsed(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
