//! Reading and writing kubeconfig files.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::Error;

/// The current context of a kubeconfig, with the content of the files it names.
#[derive(Clone, Debug, Default)]
pub struct Kubeconfig {
    /// URL of the server, `https://host:port`.
    pub server: String,
    /// Name that the server's certificate must have, if it is not that of the URL.
    pub tls_server_name: Option<String>,
    /// Certificate authorities of the server, PEM.
    pub ca: Vec<u8>,
    /// Client certificate, PEM; empty if there is none.
    pub certificate: Vec<u8>,
    /// Private key of the client certificate, PEM.
    pub key: Vec<u8>,
    /// Bearer token, instead of or besides the certificate.
    pub token: Option<String>,
}

impl Kubeconfig {
    /// Reads the current context of `file`.
    ///
    /// # Errors
    /// If the file is missing, is not a kubeconfig, or has neither a client certificate nor a
    /// token.
    pub fn load(file: &Path) -> Result<Self, Error> {
        let text = read(file)?;
        let config: Value = serde_saphyr::from_slice(&text)
            .map_err(|error| Error::Kubeconfig(format!("{}: {error}", file.display())))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let context = named(&config, "contexts", text_at(&config, "current-context")?)?;
        let cluster = named(
            &config,
            "clusters",
            text_at(&context["context"], "cluster")?,
        )?;
        let user = named(&config, "users", text_at(&context["context"], "user")?)?;
        let (cluster, user) = (&cluster["cluster"], &user["user"]);
        let loaded = Self {
            server: text_at(cluster, "server")?.to_owned(),
            tls_server_name: cluster["tls-server-name"].as_str().map(ToOwned::to_owned),
            ca: pem(cluster, "certificate-authority", folder)?.unwrap_or_default(),
            certificate: pem(user, "client-certificate", folder)?.unwrap_or_default(),
            key: pem(user, "client-key", folder)?.unwrap_or_default(),
            token: token(user, folder)?,
        };
        if loaded.ca.is_empty() {
            return Err(lacks("certificate-authority"));
        }
        if loaded.certificate.is_empty() && loaded.token.is_none() {
            return Err(lacks("client certificate or token of the user"));
        }
        Ok(loaded)
    }

    /// Writes a kubeconfig whose context has the default namespace `namespace`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, file: &Path, namespace: &str) -> Result<PathBuf, Error> {
        let mut user = json!({
            "client-certificate-data": BASE64.encode(&self.certificate),
            "client-key-data": BASE64.encode(&self.key),
        });
        if let Some(token) = &self.token {
            user["token"] = token.as_str().into();
        }
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "judge",
            "clusters": [{"name": "judge", "cluster": {
                "server": self.server, "certificate-authority-data": BASE64.encode(&self.ca)}}],
            "users": [{"name": "judge", "user": user}],
            "contexts": [{"name": "judge", "context": {
                "cluster": "judge", "user": "judge", "namespace": namespace}}],
        });
        let written = std::fs::write(file, format!("{config:#}"));
        written.map_err(|reason| Error::File {
            path: file.display().to_string(),
            reason,
        })?;
        Ok(file.to_owned())
    }
}

fn lacks(what: &str) -> Error {
    Error::Kubeconfig(format!("there is no {what}"))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|reason| Error::File {
        path: path.display().to_string(),
        reason,
    })
}

fn text_at<'a>(value: &'a Value, key: &str) -> Result<&'a str, Error> {
    value[key].as_str().ok_or_else(|| lacks(key))
}

fn named(config: &Value, list: &str, name: &str) -> Result<Value, Error> {
    let entries = config[list].as_array().ok_or_else(|| lacks(list))?;
    let entry = entries.iter().find(|entry| entry["name"] == name);
    entry
        .cloned()
        .ok_or_else(|| Error::Kubeconfig(format!("{list} have no {name:?}")))
}

/// Returns `KEY-data` decoded from base64, or the content of the file `KEY`; `None` if neither is
/// set.
fn pem(value: &Value, key: &str, folder: &Path) -> Result<Option<Vec<u8>>, Error> {
    if let Some(data) = value[&format!("{key}-data")].as_str() {
        let decoded = BASE64.decode(data.trim());
        let decoded = decoded.map_err(|error| Error::Kubeconfig(format!("{key}-data: {error}")));
        return decoded.map(Some);
    }
    let path = value[key].as_str();
    path.map(|path| read(&folder.join(path))).transpose()
}

fn token(user: &Value, folder: &Path) -> Result<Option<String>, Error> {
    if user["exec"].is_object() || user["auth-provider"].is_object() {
        let message = "credentials by exec or auth-provider are not supported: use a token, such \
                       as one of `kubectl create token`";
        return Err(Error::Kubeconfig(message.to_owned()));
    }
    if let Some(token) = user["token"].as_str() {
        return Ok(Some(token.to_owned()));
    }
    let Some(path) = user["tokenFile"].as_str() else {
        return Ok(None);
    };
    let bytes = read(&folder.join(path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}
