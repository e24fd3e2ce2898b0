//! Reading and writing kubeconfig files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde_json::{Value, json};

/// What a client needs: the current context of a kubeconfig with its files read in.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// `https://host:port`.
    pub server: String,
    /// PEM of the authorities the server's certificate is checked against.
    pub ca: Vec<u8>,
    /// PEM of the client certificate.
    pub certificate: Vec<u8>,
    /// PEM of its key.
    pub key: Vec<u8>,
}

impl Kubeconfig {
    /// Reads the current context of `file`.
    ///
    /// # Errors
    /// When the file is missing, is no kubeconfig, or uses no client certificate.
    pub fn load(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let config: Value = serde_saphyr::from_str(&text)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let context = named(&config, "contexts", text_at(&config, "current-context")?)?;
        let cluster = named(
            &config,
            "clusters",
            text_at(&context["context"], "cluster")?,
        )?;
        let user = named(&config, "users", text_at(&context["context"], "user")?)?;
        let (cluster, user) = (&cluster["cluster"], &user["user"]);
        Ok(Self {
            server: text_at(cluster, "server")?.to_owned(),
            ca: pem(cluster, "certificate-authority", folder)?,
            certificate: pem(user, "client-certificate", folder)?,
            key: pem(user, "client-key", folder)?,
        })
    }

    /// Writes this as a kubeconfig whose context uses `namespace`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, file: &Path, namespace: &str) -> Result<PathBuf> {
        let encode = |pem: &[u8]| base64::engine::general_purpose::STANDARD.encode(pem);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "judge",
            "clusters": [{"name": "judge", "cluster": {
                "server": self.server, "certificate-authority-data": encode(&self.ca)}}],
            "users": [{"name": "judge", "user": {
                "client-certificate-data": encode(&self.certificate),
                "client-key-data": encode(&self.key)}}],
            "contexts": [{"name": "judge", "context": {
                "cluster": "judge", "user": "judge", "namespace": namespace}}],
        });
        std::fs::write(file, serde_json::to_vec_pretty(&config)?)
            .with_context(|| file.display().to_string())?;
        Ok(file.to_owned())
    }
}

fn text_at<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key]
        .as_str()
        .with_context(|| format!("the kubeconfig has no {key}"))
}

fn named(config: &Value, list: &str, name: &str) -> Result<Value> {
    let entries = config[list]
        .as_array()
        .with_context(|| format!("no {list}"))?;
    let entry = entries.iter().find(|entry| entry["name"] == name);
    entry
        .cloned()
        .with_context(|| format!("the kubeconfig's {list} have no {name:?}"))
}

/// `KEY-data` in base64, or the file that `KEY` names.
fn pem(value: &Value, key: &str, folder: &Path) -> Result<Vec<u8>> {
    if let Some(data) = value[&format!("{key}-data")].as_str() {
        return Ok(base64::engine::general_purpose::STANDARD.decode(data.trim())?);
    }
    let path = folder.join(text_at(value, key)?);
    std::fs::read(&path).with_context(|| path.display().to_string())
}
