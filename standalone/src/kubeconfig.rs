//! The kubeconfig of the administrator.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use pki::{Pki, private_file};

/// Writes a kubeconfig for the administrator of the server at `url`.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, url: &str, pki: &Pki) -> io::Result<()> {
    if let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        private_file::create_directory(directory)?;
    }
    private_file::write(path, text(url, pki).as_bytes())
}

fn text(url: &str, pki: &Pki) -> String {
    let authority = STANDARD.encode(&pki.authority_pem);
    let certificate = STANDARD.encode(&pki.admin_pem);
    let key = STANDARD.encode(&pki.admin_key_pem);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: ark
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: ark-admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: ark
  context:
    cluster: ark
    user: ark-admin
    namespace: default
current-context: ark
"
    )
}
