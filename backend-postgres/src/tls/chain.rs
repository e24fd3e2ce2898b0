//! Chains that webpki does not verify, by the rules of OpenSSL: a server's certificate of X.509
//! version 1, and one that is an authority, such as one that is its own root.
//!
//! Stricter than OpenSSL where the difference does not concern these: an issuer needs the basic
//! constraint `CA` (OpenSSL also accepts older marks), and constraints on names are not evaluated
//! but refused.

use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{ASN1Time, FromDer as _, ParsedExtension, X509Certificate, X509Version};

/// Longest chain. OpenSSL's default is 100, of which nothing is known to use more than a few.
const MAX_DEPTH: usize = 8;

/// Why a chain is not trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Expired,
    NotValidYet,
    SelfSigned,
    UnknownIssuer(String),
    /// An issuer, and why it cannot be one.
    BadIssuer(String, &'static str),
    TooLong,
}

impl Problem {
    pub(super) fn unknown_issuer(certificate: &X509Certificate<'_>) -> Self {
        if certificate.issuer().as_raw() == certificate.subject().as_raw() {
            Self::SelfSigned
        } else {
            Self::UnknownIssuer(certificate.issuer().to_string())
        }
    }

    /// Describes the problem; `place` is where the trusted certificates are from.
    pub(super) fn describe(&self, place: &str) -> String {
        match self {
            Self::Expired => "it, or its issuer's, has expired".to_owned(),
            Self::NotValidYet => {
                "it, or its issuer's, is not valid yet: check the clocks".to_owned()
            }
            Self::SelfSigned => format!("it is self-signed and not in {place}"),
            Self::UnknownIssuer(issuer) => format!("its issuer ({issuer}) is not in {place}"),
            Self::BadIssuer(issuer, why) => format!("its issuer ({issuer}) {why}"),
            Self::TooLong => format!("more than {MAX_DEPTH} certificates lead to {place}"),
        }
    }
}

/// Verifies that `leaf` leads to a trusted certificate.
pub(super) fn verify(
    leaf: &X509Certificate<'_>,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Problem> {
    let now = i64::try_from(now.as_secs()).ok();
    let now = now.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    let now = now.ok_or(Problem::NotValidYet)?;
    check_time(leaf, now)?;
    if is_self_issued(leaf) {
        let trusted = anchors.contains(end_entity);
        return if trusted {
            Ok(())
        } else {
            Err(Problem::SelfSigned)
        };
    }
    let anchors = parse_all(anchors);
    let intermediates = parse_all(intermediates.get(..MAX_DEPTH).unwrap_or(intermediates));
    let mut current = leaf;
    for depth in 0..MAX_DEPTH {
        if let Some(anchor) = issuer_of(current, &anchors) {
            return check_issuer(anchor, depth, now);
        }
        let issuer = issuer_of(current, &intermediates);
        current = issuer.ok_or_else(|| Problem::unknown_issuer(current))?;
        check_issuer(current, depth, now)?;
        if is_self_issued(current) {
            return Err(Problem::UnknownIssuer(current.issuer().to_string()));
        }
    }
    Err(Problem::TooLong)
}

/// Parses certificates; leaves out malformed ones, which then cannot be issuers.
fn parse_all<'a>(certificates: &'a [CertificateDer<'_>]) -> Vec<X509Certificate<'a>> {
    let parsed = certificates
        .iter()
        .map(|der| X509Certificate::from_der(der));
    parsed.filter_map(|parsed| Some(parsed.ok()?.1)).collect()
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

/// Returns the certificate whose key signed another one.
fn issuer_of<'a, 'b>(
    certificate: &X509Certificate<'_>,
    candidates: &'b [X509Certificate<'a>],
) -> Option<&'b X509Certificate<'a>> {
    candidates.iter().find(|candidate| {
        candidate.subject().as_raw() == certificate.issuer().as_raw()
            && certificate
                .verify_signature(Some(candidate.public_key()))
                .is_ok()
    })
}

fn check_time(certificate: &X509Certificate<'_>, now: ASN1Time) -> Result<(), Problem> {
    if now < certificate.validity().not_before {
        return Err(Problem::NotValidYet);
    }
    if now > certificate.validity().not_after {
        return Err(Problem::Expired);
    }
    Ok(())
}

/// Checks that a certificate may issue others; `depth` certificates are between it and the
/// server's.
fn check_issuer(issuer: &X509Certificate<'_>, depth: usize, now: ASN1Time) -> Result<(), Problem> {
    check_time(issuer, now)?;
    let bad = |why| Err(Problem::BadIssuer(issuer.subject().to_string(), why));
    if issuer.version() == X509Version::V1 {
        // Version 1 has no constraints: a root is one by being trusted.
        return if is_self_issued(issuer) {
            Ok(())
        } else {
            bad("is no authority")
        };
    }
    for extension in issuer.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::NameConstraints(_) => {
                return bad("has name constraints, which are not supported here");
            }
            ParsedExtension::BasicConstraints(_)
            | ParsedExtension::KeyUsage(_)
            | ParsedExtension::ExtendedKeyUsage(_) => {}
            _ if extension.critical => return bad("has an unknown critical extension"),
            _ => {}
        }
    }
    let Ok(Some(basic)) = issuer.basic_constraints() else {
        return bad("is no authority");
    };
    let limit = basic.value.path_len_constraint;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let Ok(usage) = issuer.key_usage() else {
        return bad("has an invalid key usage");
    };
    if !basic.value.ca || usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        bad("is no authority")
    } else if limit.is_some_and(|limit| depth > limit) {
        bad("must not have so many certificates below it")
    } else {
        Ok(())
    }
}
