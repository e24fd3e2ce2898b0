//! The values of the Secret, and what they are worth at a point in time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::Pair;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::kube::Secret;

/// Authorities that are read from a bundle. A rotation needs two; further ones are not kept.
const MAX_AUTHORITIES: usize = 8;
/// Names that are read from a certificate. It has three, and as many more of another replica.
const MAX_NAMES: usize = 16;

/// The values of the Secret. The first authority of the bundle is the one of the key.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// `ca.crt`: PEM bundle that is published.
    pub(super) authorities: String,
    /// `ca.key`: key of the newest authority.
    pub(super) authority_key: String,
    /// `tls.crt`.
    pub(super) certificate: String,
    /// `tls.key`.
    pub(super) key: String,
}

/// A certificate that may sign others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) pem: String,
    der: CertificateDer<'static>,
    pub(super) created: OffsetDateTime,
    pub(super) expires: OffsetDateTime,
}

/// The serving certificate, if it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Serving {
    /// Whether the newest authority signed it.
    pub(super) by_signer: bool,
    /// The authority that signed it.
    pub(super) issuer: String,
    pub(super) created: OffsetDateTime,
    pub(super) expires: OffsetDateTime,
}

/// The valid parts of a [`Content`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inspected {
    /// The authority whose key is there.
    pub(super) signer: Option<Authority>,
    /// Other authorities that have not expired, as they are in the bundle.
    pub(super) others: Vec<Authority>,
    /// A certificate with its key that one of the authorities signed for the wanted names.
    pub(super) serving: Option<Serving>,
    /// Host names of the certificate, valid or not.
    pub(super) names: Vec<String>,
}

// === impl Content ===

impl Content {
    const KEYS: [&'static str; 4] = ["ca.crt", "ca.key", "tls.crt", "tls.key"];

    /// The values of a Secret. A value that is not UTF-8 is no PEM either.
    pub(super) fn of(secret: &Secret) -> Self {
        let text = |key| String::from_utf8_lossy(secret.get(key)).into_owned();
        let [authorities, authority_key, certificate, key] = Self::KEYS.map(text);
        Self {
            authorities,
            authority_key,
            certificate,
            key,
        }
    }

    /// The Secret with these values.
    pub(super) fn into_secret(self, secret: &Secret) -> Secret {
        let values = [
            self.authorities,
            self.authority_key,
            self.certificate,
            self.key,
        ];
        secret.with(Self::KEYS.into_iter().zip(values.map(String::into_bytes)))
    }

    /// Whether a part is missing or does not fit, although content was written.
    pub(super) fn is_damaged(&self) -> bool {
        let pair = |certificate: &String, key: &String| Pair {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        let authority = pair(&self.authorities, &self.authority_key);
        let serving = pair(&self.certificate, &self.key);
        *self != Self::default() && !(authority.key_matches() && serving.key_matches())
    }

    /// What is valid at `now` for a server with these names.
    pub(super) fn inspect(&self, names: &[String], now: OffsetDateTime) -> Inspected {
        let certificates = CertificateDer::pem_slice_iter(self.authorities.as_bytes());
        let authorities = certificates
            .take(MAX_AUTHORITIES)
            .filter_map(|der| Authority::parse(der.ok()?))
            .filter(|authority| authority.expires > now);
        let (mut signers, others): (Vec<_>, Vec<_>) = authorities.partition(|authority| {
            let pair = Pair {
                certificate: authority.pem.clone(),
                key: self.authority_key.clone(),
            };
            pair.key_matches()
        });
        let signer = signers.pop();
        let serving = self.serving(signer.as_ref(), &others, names, now);
        Inspected {
            signer,
            others,
            serving,
            names: names_of(&self.certificate),
        }
    }

    fn serving(
        &self,
        signer: Option<&Authority>,
        others: &[Authority],
        names: &[String],
        now: OffsetDateTime,
    ) -> Option<Serving> {
        let pair = Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        };
        if !pair.key_matches() {
            return None;
        }
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()?;
        let mut authorities = signer.into_iter().chain(others);
        let issuer = authorities.find(|authority| authority.has_signed(&der, now))?;
        let parsed = ParsedCertificate::try_from(&der).ok()?;
        let valid_for = |name: &String| {
            let name = ServerName::try_from(name.as_str());
            name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        };
        if !names.iter().all(valid_for) {
            return None;
        }
        let (created, expires) = period(&der)?;
        Some(Serving {
            by_signer: signer == Some(issuer),
            issuer: issuer.pem.clone(),
            created,
            expires,
        })
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Content")
            .field("authorities", &self.authorities)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

// === impl Inspected ===

impl Inspected {
    /// The bundle of the valid authorities, the newest first; empty without any.
    pub(super) fn bundle(&self) -> String {
        let authorities = self.signer.iter().chain(&self.others);
        authorities.map(|authority| &*authority.pem).collect()
    }
}

// === impl Authority ===

impl Authority {
    fn parse(der: CertificateDer<'static>) -> Option<Self> {
        let (created, expires) = period(&der)?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        if !certificate.is_ca() {
            return None;
        }
        Some(Self {
            pem: to_pem(&der),
            created,
            expires,
            der,
        })
    }

    fn has_signed(&self, certificate: &CertificateDer<'_>, now: OffsetDateTime) -> bool {
        let mut roots = RootCertStore::empty();
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let parsed = ParsedCertificate::try_from(certificate);
        roots.add(self.der.clone()).is_ok()
            && parsed.is_ok_and(|parsed| {
                verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms.all)
                    .is_ok()
            })
    }
}

/// When a certificate was made, and when it expires.
fn period(der: &CertificateDer<'_>) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let time = |time: i64| OffsetDateTime::from_unix_timestamp(time).ok();
    let created = time(validity.not_before.timestamp())?.checked_add(backdate())?;
    Some((created, time(validity.not_after.timestamp())?))
}

const fn backdate() -> time::Duration {
    time::Duration::seconds(pki::BACKDATE.as_secs().cast_signed())
}

fn names_of(certificate: &str) -> Vec<String> {
    let parse = || {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let names = names.value.general_names.iter();
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        Some(names.take(MAX_NAMES).collect())
    };
    parse().unwrap_or_default()
}

fn to_pem(der: &CertificateDer<'_>) -> String {
    // Lines of 64 characters, which are 48 bytes: RFC 7468.
    let lines = der
        .as_ref()
        .chunks(48)
        .map(|chunk| STANDARD.encode(chunk) + "\n");
    let body: String = lines.collect();
    format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
}
