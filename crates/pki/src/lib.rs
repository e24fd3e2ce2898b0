//! The certificates of a standalone server: an authority, a serving certificate and an
//! administrator certificate. The functions that make them are also used without files.
//!
//! [`Pki`] stores them in `DATA_DIR/pki` and reuses them while they are valid, so that existing
//! kubeconfigs keep working. Private keys are readable by their owner only.

pub mod private_file;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The administrator's group, which kube-apiserver's convention authorizes for everything.
const MASTERS_GROUP: &str = "system:masters";

const DAY: Duration = Duration::from_secs(24 * 3600);
const AUTHORITY_DAYS: u32 = 3650;
const CERTIFICATE_DAYS: u32 = 365;
/// A certificate with less remaining validity is replaced at the next start, days.
const RENEW_DAYS: u32 = 30;
/// Certificates are valid from this long before their creation, because clocks differ.
pub const BACKDATE: Duration = Duration::from_secs(3600);

/// Paths and texts of the certificates in use.
#[derive(Debug, Clone)]
pub struct Pki {
    /// Path of the authority's certificate.
    pub authority: PathBuf,
    /// Path of the serving certificate.
    pub server: PathBuf,
    /// Path of the serving certificate's key.
    pub server_key: PathBuf,
    /// The authority's certificate as PEM.
    pub authority_pem: String,
    /// The administrator's certificate as PEM.
    pub admin_pem: String,
    /// The administrator's key as PEM.
    pub admin_key_pem: String,
}

/// Why there are no certificates; the message names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be written.
    #[error("cannot write {0}: {1}")]
    Unwritable(PathBuf, #[source] std::io::Error),
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// A certificate cannot be made.
    #[error("cannot create a certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// The period in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: OffsetDateTime,
    /// Last moment.
    pub not_after: OffsetDateTime,
}

/// A certificate and its key as PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Pki {
    /// Loads the certificates in `directory`. Replaces those that are missing, unreadable, not valid
    /// yet, about to expire, or not valid for every one of `names`.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn load_or_create(directory: &Path, names: &[String]) -> Result<Self, Error> {
        let path = |name: &str| directory.join(name);
        private_file::create_directory(directory)
            .map_err(|err| Error::Unwritable(directory.to_owned(), err))?;
        let loaded = read(directory, "ca").filter(|pair| is_good(pair, &[], &pair.certificate));
        let fresh = loaded.is_none();
        let authority = match loaded {
            Some(pair) => pair,
            None => write(directory, "ca", authority(&authority_name())?)?,
        };
        let usable = |pair: &Pair, names| !fresh && is_good(pair, names, &authority.certificate);
        let server = match read(directory, "server").filter(|pair| usable(pair, names)) {
            Some(pair) => pair,
            None => write(directory, "server", serving(&authority, names)?)?,
        };
        drop(server);
        let admin = match read(directory, "admin").filter(|pair| usable(pair, &[])) {
            Some(pair) => pair,
            None => write(
                directory,
                "admin",
                client(&authority, "ark-admin", Some(MASTERS_GROUP))?,
            )?,
        };
        Ok(Self {
            authority: path("ca.crt"),
            server: path("server.crt"),
            server_key: path("server.key"),
            authority_pem: authority.certificate,
            admin_pem: admin.certificate,
            admin_key_pem: admin.key,
        })
    }
}

impl Pki {
    /// A new certificate of user `name` with the rights of the administrator, for requests of the
    /// server to itself. It is valid as long as the authority, and is not written to a file.
    ///
    /// # Errors
    /// If the key of the authority cannot be read.
    pub fn internal(&self, name: &str) -> Result<Pair, Error> {
        let key = self.authority.with_extension("key");
        let authority = Pair {
            certificate: self.authority_pem.clone(),
            key: std::fs::read_to_string(&key).map_err(|error| Error::Unreadable(key, error))?,
        };
        client_valid(
            &authority,
            name,
            Some(MASTERS_GROUP),
            Validity::of_days(AUTHORITY_DAYS),
        )
    }
}

/// A unique name, because a certificate is matched to its authority by name.
fn authority_name() -> String {
    format!("ark-apiserver-{:016x}", rand::random::<u64>())
}

impl Validity {
    /// From [`BACKDATE`] before `now` until `lifetime` after it.
    #[must_use]
    pub fn starting(now: OffsetDateTime, lifetime: Duration) -> Self {
        Self {
            not_before: now - BACKDATE,
            not_after: now + lifetime,
        }
    }

    fn of_days(days: u32) -> Self {
        Self::starting(OffsetDateTime::now_utc(), DAY * days)
    }
}

impl Pair {
    /// Whether both can be read, and the key is that of the certificate.
    #[must_use]
    pub fn key_matches(&self) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(self.certificate.as_bytes()) else {
            return false;
        };
        let (Ok((_, certificate)), Ok(key)) = (
            X509Certificate::from_der(&der),
            KeyPair::from_pem(&self.key),
        ) else {
            return false;
        };
        certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
    }
}

/// A new self-signed authority.
pub fn authority(name: &str) -> Result<Pair, Error> {
    authority_valid(name, Validity::of_days(AUTHORITY_DAYS))
}

/// A new self-signed authority with this validity.
pub fn authority_valid(name: &str, validity: Validity) -> Result<Pair, Error> {
    let key = KeyPair::generate()?;
    let certificate = authority_params(name, validity).self_signed(&key)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate for a server with these host names or addresses.
pub fn serving(authority: &Pair, names: &[String]) -> Result<Pair, Error> {
    serving_valid(authority, names, Validity::of_days(CERTIFICATE_DAYS))
}

/// A certificate for a server with these host names or addresses, and this validity.
pub fn serving_valid(
    authority: &Pair,
    names: &[String],
    validity: Validity,
) -> Result<Pair, Error> {
    let mut params = params("ark-apiserver", validity);
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(authority, params)
}

/// A client certificate for user `name`, in `group` if given.
pub fn client(authority: &Pair, name: &str, group: Option<&str>) -> Result<Pair, Error> {
    client_valid(authority, name, group, Validity::of_days(CERTIFICATE_DAYS))
}

fn client_valid(
    authority: &Pair,
    name: &str,
    group: Option<&str>,
    validity: Validity,
) -> Result<Pair, Error> {
    let mut params = params(name, validity);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(authority, params)
}

fn sign(authority: &Pair, mut params: CertificateParams) -> Result<Pair, Error> {
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.use_authority_key_identifier_extension = true;
    let name = subject(&authority.certificate).unwrap_or_default();
    // Only the name of the issuer enters the certificate, not its validity.
    let issuer = authority_params(&name, Validity::of_days(AUTHORITY_DAYS));
    let issuer = Issuer::new(issuer, KeyPair::from_pem(&authority.key)?);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority_params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = params(name, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

fn subject(pem: &str) -> Option<String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// Whether key and certificate match, were signed by `authority`, are valid now and long enough, and
/// cover `names`.
fn is_good(pair: &Pair, names: &[String], authority: &str) -> bool {
    let parse = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let (Some(der), Some(authority)) = (parse(&pair.certificate), parse(authority)) else {
        return false;
    };
    let (Ok((_, certificate)), Ok((_, authority))) = (
        X509Certificate::from_der(&der),
        X509Certificate::from_der(&authority),
    ) else {
        return false;
    };
    let now = OffsetDateTime::now_utc();
    let renew_at = now + DAY * RENEW_DAYS;
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let covered = |name: &String| {
        let wanted = name.parse::<IpAddr>();
        alternatives.as_ref().is_some_and(|names| {
            names
                .value
                .general_names
                .iter()
                .any(|known| match (known, &wanted) {
                    (GeneralName::DNSName(known), Err(_)) => known == name,
                    (GeneralName::IPAddress(known), Ok(IpAddr::V4(v4))) => *known == v4.octets(),
                    (GeneralName::IPAddress(known), Ok(IpAddr::V6(v6))) => *known == v6.octets(),
                    _ => false,
                })
        })
    };
    pair.key_matches()
        && certificate.issuer() == authority.subject()
        // A certificate that a clock ahead has made is not valid yet.
        && certificate.validity().not_before.timestamp() <= now.unix_timestamp()
        && certificate.validity().not_after.timestamp() > renew_at.unix_timestamp()
        && names.iter().all(covered)
}

fn read(directory: &Path, name: &str) -> Option<Pair> {
    let read = |end| std::fs::read_to_string(directory.join(format!("{name}.{end}"))).ok();
    Some(Pair {
        certificate: read("crt")?,
        key: read("key")?,
    })
}

fn write(directory: &Path, name: &str, pair: Pair) -> Result<Pair, Error> {
    for (end, text) in [("key", &pair.key), ("crt", &pair.certificate)] {
        let path = directory.join(format!("{name}.{end}"));
        private_file::write(&path, text.as_bytes())
            .map_err(|err| Error::Unwritable(path.clone(), err))?;
    }
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn valid_certificates_are_reused() {
        let directory = tempfile::tempdir().unwrap();
        let load = |wanted: &[&str]| Pki::load_or_create(directory.path(), &names(wanted)).unwrap();
        let server = || std::fs::read_to_string(directory.path().join("server.crt")).unwrap();

        let first = load(&["localhost", "127.0.0.1"]);
        let first_server = server();
        let second = load(&["127.0.0.1"]);
        assert_eq!(second.admin_pem, first.admin_pem);
        assert_eq!(server(), first_server);

        let third = load(&["10.0.0.1"]);
        assert_eq!(
            third.authority_pem, first.authority_pem,
            "the authority outlives its servers"
        );
        assert_ne!(server(), first_server);

        std::fs::write(directory.path().join("ca.crt"), "garbage").unwrap();
        let fourth = load(&["10.0.0.1"]);
        assert_ne!(fourth.authority_pem, first.authority_pem);
        assert_ne!(
            fourth.admin_pem, first.admin_pem,
            "the old certificate is no longer trusted"
        );
    }

    #[test]
    fn certificates_of_a_clock_ahead_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let load = || Pki::load_or_create(directory.path(), &names(&["localhost"])).unwrap();
        let first = load();
        let server = || std::fs::read_to_string(directory.path().join("server.crt")).unwrap();
        let first_server = server();
        let ahead = OffsetDateTime::now_utc() + DAY * 400;
        let validity = Validity::starting(ahead, DAY * CERTIFICATE_DAYS);

        let authority = read(directory.path(), "ca").unwrap();
        let early = serving_valid(&authority, &names(&["localhost"]), validity).unwrap();
        write(directory.path(), "server", early.clone()).unwrap();
        let second = load();
        assert_eq!(second.authority_pem, first.authority_pem);
        assert!(server() != early.certificate && server() != first_server);

        let early = authority_valid("early", validity).unwrap();
        write(directory.path(), "ca", early.clone()).unwrap();
        let third = load();
        assert_ne!(third.authority_pem, early.certificate);
        assert_ne!(third.admin_pem, second.admin_pem);
    }

    #[test]
    fn keys_are_readable_by_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        Pki::load_or_create(directory.path(), &[]).unwrap();
        for name in ["ca.key", "server.key", "admin.key"] {
            let mode = std::fs::metadata(directory.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
