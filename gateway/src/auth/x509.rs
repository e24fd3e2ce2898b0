//! The user of a client certificate: CN is the name, each O is a group.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use x509_parser::der_parser::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;
use crate::request::User;
use crate::request::user::Method;

/// Subject attribute that carries the user's UID.
const UID_OID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);
/// Extra key for the fingerprint of the certificate.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Extracts the user of a verified certificate; `None` if it has no CN.
pub(super) fn user(certificate: &CertificateDer<'_>) -> Result<Option<User>, Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| Error::Malformed)?;
    let subject = parsed.subject();
    let Some(name) = common_name(&parsed).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        attribute.as_str().map(str::to_owned).ok()
    };
    let groups: Vec<String> = subject.iter_organization().filter_map(text).collect();
    let mut user = User::new(name, groups);
    user.method = Method::ClientCertificate;
    user.uid = subject.iter_by_oid(&UID_OID).find_map(text);
    let id = format!("X509SHA256={}", hex(digest(&SHA256, certificate).as_ref()));
    user.extra.insert(CREDENTIAL_ID.to_owned(), vec![id]);
    Ok(Some(user))
}

/// The CN of a certificate; the last one if there are several, as in Go.
pub(super) fn front_proxy_name(certificate: &CertificateDer<'_>) -> Result<String, Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| Error::Malformed)?;
    Ok(common_name(&parsed).unwrap_or_default())
}

/// When a certificate expires, in seconds since 1970; `None` if it cannot be read.
#[must_use]
pub fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let last = certificate.subject().iter_common_name().last()?;
    last.as_str().ok().map(str::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}
