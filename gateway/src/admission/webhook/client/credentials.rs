//! Credentials for webhooks: a kubeconfig whose users are named by host and port of webhooks.
//!
//! Source: `k8s.io/apiserver/pkg/util/webhook/authentication.go`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use parking_lot::Mutex;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::time::Instant;

use super::failure::CallFailure;
use crate::config_file::{self, ConfigFileError};

/// How long a token file is not read again: the period of client-go.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// The users of a kubeconfig, by the webhooks that they are for. The default has none.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    users: BTreeMap<String, Arc<User>>,
    /// The user of the current context.
    current: Option<Arc<User>>,
}

/// One user. Certificate, and token or password.
pub(super) struct User {
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    authorization: Option<HeaderValue>,
    token_file: Option<PathBuf>,
    /// The content of the token file, and when it was read.
    token: Mutex<Option<(HeaderValue, Instant)>>,
}

impl Credentials {
    /// Reads a kubeconfig and the certificates that it names.
    ///
    /// # Errors
    /// If a file is unreadable, or a user has no supported credentials.
    pub fn read(path: &Path) -> Result<Self, ConfigFileError> {
        let invalid = |problem: String| ConfigFileError::invalid(path, problem);
        let config = config_file::read(path)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut users = BTreeMap::new();
        for entry in config["users"].as_array().into_iter().flatten() {
            let name = entry["name"].as_str().unwrap_or_default();
            let user = User::of(&entry["user"], folder);
            let user = user.map_err(|error| match error {
                UserError::File(error) => error,
                UserError::Invalid(reason) => invalid(format!("user {name:?}: {reason}")),
            })?;
            users.insert(name.to_owned(), Arc::new(user));
        }
        let context = config["current-context"].as_str();
        let mut contexts = config["contexts"].as_array().into_iter().flatten();
        let context = contexts.find(|it| context.is_some() && it["name"].as_str() == context);
        let current = context.and_then(|it| it["context"]["user"].as_str());
        let current = current.and_then(|name| users.get(name).cloned());
        Ok(Self { users, current })
    }

    /// The user for a webhook at `host:port`.
    pub(super) fn find(&self, target: &str) -> Option<&Arc<User>> {
        self.named(target)
            .or_else(|| self.named(target.strip_suffix(":443")?))
            .or_else(|| self.users.get("*"))
            .or(self.current.as_ref())
    }

    /// The user with this name, or with that of a domain above it: `*.ns.svc`.
    fn named(&self, target: &str) -> Option<&Arc<User>> {
        self.users.get(target).or_else(|| {
            let dots = target.match_indices('.');
            let mut domains = dots.map(|(at, _)| format!("*{}", &target[at..]));
            domains.find_map(|domain| self.users.get(&domain))
        })
    }
}

enum UserError {
    File(ConfigFileError),
    Invalid(String),
}

impl From<ConfigFileError> for UserError {
    fn from(error: ConfigFileError) -> Self {
        Self::File(error)
    }
}

impl User {
    fn of(user: &Value, folder: &Path) -> Result<Self, UserError> {
        for key in ["exec", "auth-provider", "as", "as-uid", "as-groups"] {
            if !user[key].is_null() {
                return Err(UserError::Invalid(format!("{key} is not supported")));
            }
        }
        let certificate = match pem(user, "client-certificate", folder)? {
            Some(chain) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
                let chain = chain.map_err(|error| unusable("client-certificate", &error))?;
                let key = pem(user, "client-key", folder)?.unwrap_or_default();
                let key = PrivateKeyDer::from_pem_slice(&key);
                Some((chain, key.map_err(|error| unusable("client-key", &error))?))
            }
            None => None,
        };
        let text = |key: &str| user[key].as_str().filter(|text| !text.is_empty());
        let token_file = text("tokenFile").map(|path| folder.join(path));
        let authorization = match (text("token"), text("username")) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(name)) if token_file.is_none() => {
                let pair = format!("{name}:{}", text("password").unwrap_or_default());
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            _ => None,
        };
        if let Some(path) = token_file.as_deref().filter(|_| authorization.is_none()) {
            // As the reference, which fails at the start.
            config_file::bytes(path)?;
        }
        let authorization = authorization.map(|it| secret(&it)).transpose()?;
        Ok(Self {
            certificate,
            token_file: token_file.filter(|_| authorization.is_none()),
            authorization,
            token: Mutex::default(),
        })
    }

    /// The client certificate.
    pub(super) fn certificate(
        &self,
    ) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let (chain, key) = self.certificate.as_ref()?;
        Some((chain.clone(), key.clone_key()))
    }

    /// The `Authorization` header.
    pub(super) async fn authorization(&self) -> Result<Option<HeaderValue>, CallFailure> {
        let Some(path) = &self.token_file else {
            return Ok(self.authorization.clone());
        };
        if let Some((token, read)) = &*self.token.lock()
            && read.elapsed() < TOKEN_LIFETIME
        {
            return Ok(Some(token.clone()));
        }
        let failed = |text: String| CallFailure::Transport(text);
        let text = tokio::fs::read_to_string(path).await;
        let text = text.map_err(|error| {
            failed(format!(
                "failed to read token file {:?}: {error}",
                path.display()
            ))
        })?;
        let token = secret(&format!("Bearer {}", text.trim())).map_err(|error| match error {
            UserError::Invalid(reason) => failed(reason),
            UserError::File(error) => failed(error.to_string()),
        })?;
        *self.token.lock() = Some((token.clone(), Instant::now()));
        Ok(Some(token))
    }
}

fn secret(text: &str) -> Result<HeaderValue, UserError> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| UserError::Invalid("the token is no text".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable(key: &str, error: &dyn fmt::Display) -> UserError {
    UserError::Invalid(format!("{key}: {error}"))
}

/// `KEY-data` decoded, or the content of the file `KEY`.
fn pem(user: &Value, key: &str, folder: &Path) -> Result<Option<Vec<u8>>, UserError> {
    if let Some(data) = user[&format!("{key}-data")].as_str() {
        let decoded = STANDARD.decode(data.trim());
        return decoded.map(Some).map_err(|error| unusable(key, &error));
    }
    let path = user[key].as_str().filter(|path| !path.is_empty());
    Ok(path
        .map(|path| config_file::bytes(&folder.join(path)))
        .transpose()?)
}

impl fmt::Debug for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("User").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
apiVersion: v1
kind: Config
users:
- {name: "hook.ns.svc", user: {token: exact}}
- {name: "hook.ns.svc:8443", user: {token: port}}
- {name: "*.ns.svc", user: {token: domain}}
- {name: "*.example.com:8443", user: {username: u, password: p}}
- {name: "other", user: {token: current}}
contexts:
- {name: c, context: {user: other}}
current-context: c
"#;

    #[tokio::test]
    async fn user_is_chosen_by_host_and_port() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, CONFIG).unwrap();
        let credentials = Credentials::read(&path).unwrap();
        for (target, wanted) in [
            ("hook.ns.svc:443", "Bearer exact"),
            ("hook.ns.svc:8443", "Bearer port"),
            ("hook.ns.svc:9443", "Bearer current"),
            ("b.ns.svc:443", "Bearer domain"),
            ("a.b.example.com:8443", "Basic dTpw"),
            ("a.b.example.com:443", "Bearer current"),
        ] {
            let user = credentials.find(target).unwrap();
            let header = user.authorization().await.unwrap().unwrap();
            assert_eq!(header.to_str().unwrap(), wanted, "{target}");
        }
        assert!(Credentials::default().find("hook.ns.svc:443").is_none());
    }

    #[test]
    fn unsupported_credentials_name_user_and_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let config = r#"{"users": [{"name": "x", "user": {"exec": {"command": "y"}}}]}"#;
        std::fs::write(&path, config).unwrap();
        let error = Credentials::read(&path).unwrap_err().to_string();
        assert!(
            error.ends_with(r#"user "x": exec is not supported"#),
            "{error}"
        );
        let config = r#"{"users": [{"name": "x", "user": {"tokenFile": "missing"}}]}"#;
        std::fs::write(&path, config).unwrap();
        let error = Credentials::read(&path).unwrap_err().to_string();
        assert!(error.contains("missing: No such file"), "{error}");
    }
}
