//! The certificates of a temporary control plane.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::kubeconfig::Kubeconfig;

/// A certificate authority that signs while a test runs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a certificate of an [`Authority`] states.
#[derive(Clone, Debug, Default)]
pub struct Subject<'a> {
    /// Common name: the user, for a client.
    pub name: &'a str,
    /// Organization: the group, for a client.
    pub group: Option<&'a str>,
    /// Host names and addresses of a server; empty for a client.
    pub hosts: &'a [String],
    /// Whether the certificate has expired already.
    pub expired: bool,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// Creates an authority with a new key.
    ///
    /// # Errors
    /// If the key cannot be generated.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        Ok(Self(CertifiedIssuer::self_signed(params, key)?))
    }

    /// The authority's own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate for a client, or for a server if the subject has hosts.
    ///
    /// # Errors
    /// If a host is not a valid name.
    pub fn issue(&self, subject: &Subject<'_>) -> Result<Pair> {
        let mut params = CertificateParams::new(subject.hosts)?;
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, subject.name);
        if let Some(group) = subject.group {
            name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![if subject.hosts.is_empty() {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        }];
        if subject.expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        }
        let key = KeyPair::generate()?;
        Ok(Pair {
            certificate: params.signed_by(&key, &self.0)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair")
    }
}

/// PEM files in one directory.
#[derive(Debug)]
pub struct Certificates {
    /// The authority that signs the other two.
    pub ca: PathBuf,
    /// Serving certificate for 127.0.0.1 and localhost.
    pub server: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// Client certificate of a member of `system:masters`.
    pub admin: PathBuf,
    /// Its key.
    pub admin_key: PathBuf,
}

impl Certificates {
    /// Creates a new set in `folder`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        Self::issue(&Authority::new("scenarios-ca")?, &[], folder)
    }

    /// Writes an authority, a serving certificate that is also valid for `hosts`, and an
    /// administrator's certificate to `folder`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn issue(ca: &Authority, hosts: &[String], folder: &Path) -> Result<Self> {
        let write = |name: &str, pem: &str| {
            let path = folder.join(name);
            std::fs::write(&path, pem).with_context(|| path.display().to_string())?;
            anyhow::Ok(path)
        };
        let local = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = ca.issue(&Subject {
            name: "kube-apiserver",
            hosts: &[&local, hosts].concat(),
            ..Subject::default()
        })?;
        let admin = ca.issue(&Subject {
            name: "admin",
            group: Some("system:masters"),
            ..Subject::default()
        })?;
        Ok(Self {
            ca: write("ca.crt", &ca.pem())?,
            server: write("server.crt", &server.certificate)?,
            server_key: write("server.key", &server.key)?,
            admin: write("admin.crt", &admin.certificate)?,
            admin_key: write("admin.key", &admin.key)?,
        })
    }
    /// The administrator's kubeconfig of a server at `port` of 127.0.0.1.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn kubeconfig(&self, port: u16) -> Result<Kubeconfig> {
        Ok(Kubeconfig {
            server: format!("https://127.0.0.1:{port}"),
            ca: std::fs::read(&self.ca)?,
            certificate: std::fs::read(&self.admin)?,
            key: std::fs::read(&self.admin_key)?,
            token: None,
            tls_server_name: None,
        })
    }
}
