//! The certificates of a temporary control plane.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

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
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "scenarios-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let write = |name: &str, pem: &str| {
            let path = folder.join(name);
            std::fs::write(&path, pem).with_context(|| path.display().to_string())?;
            anyhow::Ok(path)
        };

        let mut server = CertificateParams::new(["localhost".into(), "127.0.0.1".into()])?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let server = server.signed_by(&server_key, &ca)?;

        let mut admin = CertificateParams::new(Vec::new())?;
        admin.distinguished_name.push(DnType::CommonName, "admin");
        admin
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let admin_key = KeyPair::generate()?;
        let admin = admin.signed_by(&admin_key, &ca)?;

        Ok(Self {
            ca: write("ca.crt", &ca.pem())?,
            server: write("server.crt", &server.pem())?,
            server_key: write("server.key", &server_key.serialize_pem())?,
            admin: write("admin.crt", &admin.pem())?,
            admin_key: write("admin.key", &admin_key.serialize_pem())?,
        })
    }
}
