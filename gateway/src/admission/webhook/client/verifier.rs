//! Verification of a webhook's certificate with the results of Go.
//!
//! webpki rejects a certificate that is an authority. Go accepts one that is itself in the
//! `caBundle`, which is what tools make that create one self-signed certificate per webhook.
//! Source: `Certificate.Verify` of Go's `crypto/x509`.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Trust in the certificates of a bundle and in those that they have signed.
#[derive(Debug)]
pub(super) struct Verifier {
    bundle: Vec<CertificateDer<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    /// `bundle` are the certificates of `roots` that may also be those of servers.
    pub(super) fn new(
        bundle: Vec<CertificateDer<'static>>,
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let webpki = webpki.map_err(|error| error.to_string())?;
        Ok(Self { bundle, webpki })
    }
}

/// Verifies a certificate that is trusted itself.
fn verify_trusted(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    let usage = parsed.extended_key_usage().map_err(bad)?;
    if usage.is_some_and(|usage| !usage.value.any && !usage.value.server_auth) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // bounded: the certificates of a bundle, once for each connection.
        if self.bundle.iter().any(|trusted| trusted == end_entity) {
            verify_trusted(end_entity, server_name, now)?;
            return Ok(ServerCertVerified::assertion());
        }
        let webpki = &self.webpki;
        webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let webpki = &self.webpki;
        webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let webpki = &self.webpki;
        webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};
    use rustls::crypto::ring;

    use super::*;

    /// A self-signed authority for `hook.example.com`, valid in the year 2026.
    fn authority(usage: Option<ExtendedKeyUsagePurpose>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["hook.example.com".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        params.extended_key_usages.extend(usage);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn verify(
        trusted: &CertificateDer<'static>,
        shown: &CertificateDer<'static>,
        name: &'static str,
        year: u64,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(vec![trusted.clone()], Arc::new(roots), provider).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let seconds = (year - 1970) * 31_557_600 + 86_400 * 90;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verified = verifier.verify_server_cert(shown, &[], &name, &[], now);
        verified.map(|_| ())
    }

    #[test]
    fn authority_of_the_bundle_is_accepted_as_server() {
        let host = "hook.example.com";
        for usage in [None, Some(ExtendedKeyUsagePurpose::ServerAuth)] {
            let shown = authority(usage);
            assert_eq!(verify(&shown, &shown, host, 2026), Ok(()));
        }
        let shown = authority(None);
        let rejected = |result: Result<(), Error>| match result {
            Err(Error::InvalidCertificate(error)) => error,
            other => panic!("{other:?}"),
        };
        let other_name = rejected(verify(&shown, &shown, "other.example.com", 2026));
        assert!(matches!(
            other_name,
            CertificateError::NotValidForNameContext { .. }
        ));
        for (year, expected) in [
            (2025, CertificateError::NotValidYet),
            (2027, CertificateError::Expired),
        ] {
            assert_eq!(rejected(verify(&shown, &shown, host, year)), expected);
        }
        let client = authority(Some(ExtendedKeyUsagePurpose::ClientAuth));
        let purpose = rejected(verify(&client, &client, host, 2026));
        assert_eq!(purpose, CertificateError::InvalidPurpose);
        let stranger = authority(None);
        assert!(verify(&shown, &stranger, host, 2026).is_err());
    }
}
