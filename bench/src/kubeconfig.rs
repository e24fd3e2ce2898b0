//! The part of a kubeconfig that a load generator needs: one server, its CA, one client
//! certificate.

use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

/// Address and credentials of a server.
pub(crate) struct Endpoint {
    /// `host:port`.
    pub(crate) authority: String,
    /// Host alone, for TLS.
    pub(crate) host: String,
    /// Trust anchors for the server's certificate.
    pub(crate) ca: Vec<CertificateDer<'static>>,
    pub(crate) certificate: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

#[derive(Deserialize)]
struct Config {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
}

/// Reads the first cluster and the first user of a kubeconfig.
pub(crate) fn load(path: &Path) -> Result<Endpoint> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let config: Config = serde_saphyr::from_str(&text).context("kubeconfig")?;
    let cluster = &config
        .clusters
        .first()
        .context("kubeconfig without a cluster")?
        .cluster;
    let user = &config
        .users
        .first()
        .context("kubeconfig without a user")?
        .user;
    let ca = pem(
        &cluster.certificate_authority,
        &cluster.certificate_authority_data,
    )?;
    let certificate = pem(&user.client_certificate, &user.client_certificate_data)?;
    let key = pem(&user.client_key, &user.client_key_data)?;
    let authority = cluster
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
        ca: CertificateDer::pem_slice_iter(&ca).collect::<Result<_, _>>()?,
        certificate: CertificateDer::pem_slice_iter(&certificate).collect::<Result<_, _>>()?,
        key: PrivateKeyDer::from_pem_slice(&key)?,
    })
}

/// PEM from inline base64 or from a file.
fn pem(file: &Option<String>, data: &Option<String>) -> Result<Vec<u8>> {
    if let Some(data) = data {
        return Ok(base64::engine::general_purpose::STANDARD.decode(data)?);
    }
    let file = file
        .as_ref()
        .context("kubeconfig lacks a certificate or key")?;
    std::fs::read(file).with_context(|| file.clone())
}
