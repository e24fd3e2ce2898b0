//! Whether a certificate names a host, by libpq's rules: an alternative name of the host's kind
//! excludes the common name, an address may be written as a name, and `*.` stands for one label.

use std::net::IpAddr;

use rustls_pki_types::ServerName;
use x509_parser::prelude::{GeneralName, X509Certificate};

/// Checks the name; returns a sentence with the certificate's names if the host is none of them.
pub(super) fn check(
    certificate: &X509Certificate<'_>,
    server_name: &ServerName<'_>,
) -> Result<(), String> {
    let (host, address) = match server_name {
        ServerName::IpAddress(address) => {
            let address = IpAddr::from(*address);
            (address.to_string(), Some(address))
        }
        name => (name.to_str().into_owned(), None),
    };
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.map_or(&[][..], |found| &found.value.general_names);
    let mut names = Vec::new();
    let mut use_common_name = true;
    for alternative in alternatives {
        match alternative {
            GeneralName::DNSName(name) => {
                use_common_name &= address.is_some();
                names.push((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => {
                use_common_name &= address.is_none();
                if let Some(named) = ip(bytes) {
                    names.push(named.to_string());
                }
            }
            _ => {}
        }
    }
    if use_common_name {
        let common = certificate.subject().iter_common_name().next();
        names.extend(
            common
                .and_then(|name| name.as_str().ok())
                .map(str::to_owned),
        );
    }
    if names.iter().any(|name| matches(name, &host)) {
        return Ok(());
    }
    Err(format!(
        "the server's certificate is not valid for {host:?}: it is for {}; connect by a name of \
         it, with hostaddr for the address, or use sslmode=verify-ca",
        names.join(", ")
    ))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn matches(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    // `*.example.com` is for one label before the suffix, which itself must not be empty.
    let suffix = name.strip_prefix('*').filter(|suffix| suffix.len() > 1);
    let Some(suffix) = suffix.filter(|suffix| suffix.starts_with('.')) else {
        return false;
    };
    let label = host
        .len()
        .checked_sub(suffix.len())
        .and_then(|at| host.split_at_checked(at));
    label.is_some_and(|(label, rest)| {
        !label.is_empty() && !label.contains('.') && rest.eq_ignore_ascii_case(suffix)
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use rustls_pki_types::ServerName;
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::check;

    fn is_valid(common: &str, names: &[&str], address: Option<&str>, host: &str) -> bool {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common);
        let address = address.map(|address| address.parse().expect("an address"));
        params
            .subject_alt_names
            .extend(address.map(SanType::IpAddress));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (_, parsed) = X509Certificate::from_der(certificate.der()).expect("parsed");
        check(&parsed, &ServerName::try_from(host).expect("a host")).is_ok()
    }

    #[test]
    fn names_match_as_in_libpq() {
        for (common, names, address, host, expected) in [
            ("db", &[][..], None, "db", true),
            ("DB.example.com", &[], None, "db.example.COM", true),
            ("db", &[], None, "other", false),
            ("db", &["other"], None, "db", false),
            ("db", &["other"], None, "other", true),
            ("db", &[], Some("10.0.0.1"), "db", true),
            ("10.0.0.1", &[], None, "10.0.0.1", true),
            ("10.0.0.1", &["db"], None, "10.0.0.1", true),
            ("10.0.0.1", &[], Some("10.0.0.2"), "10.0.0.1", false),
            ("x", &[], Some("10.0.0.1"), "10.0.0.1", true),
            ("*.example.com", &[], None, "db.example.com", true),
            ("*.example.com", &[], None, "a.db.example.com", false),
            ("*.example.com", &[], None, "example.com", false),
            ("*", &[], None, "db", false),
        ] {
            let found = is_valid(common, names, address, host);
            assert_eq!(found, expected, "{common} {names:?} {address:?} for {host}");
        }
    }
}
