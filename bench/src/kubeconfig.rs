//! The part of a kubeconfig that a load generator needs: one server, its CA, one client
//! certificate.

use std::path::Path;

use anyhow::{Context as _, Result};
use kube_http::Kubeconfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Address and credentials of a server.
pub struct Endpoint {
    /// `host:port`.
    pub authority: String,
    /// Host alone, for TLS.
    pub host: String,
    /// Trust anchors for the server's certificate.
    pub ca: Vec<CertificateDer<'static>>,
    /// Client certificate with its chain.
    pub certificate: Vec<CertificateDer<'static>>,
    /// Private key of the client certificate.
    pub key: PrivateKeyDer<'static>,
}

/// Reads the current context of a kubeconfig.
pub fn load(path: &Path) -> Result<Endpoint> {
    let config = Kubeconfig::load(path)?;
    let authority = config
        .server
        .strip_prefix("https://")
        .context("the server URL is not https")?
        .trim_end_matches('/')
        .to_owned();
    let host = authority
        .rsplit_once(':')
        .map_or(authority.as_str(), |(host, _)| host)
        .to_owned();
    Ok(Endpoint {
        host,
        authority,
        ca: CertificateDer::pem_slice_iter(&config.ca).collect::<Result<_, _>>()?,
        certificate: CertificateDer::pem_slice_iter(&config.certificate)
            .collect::<Result<_, _>>()?,
        key: PrivateKeyDer::from_pem_slice(&config.key)?,
    })
}
