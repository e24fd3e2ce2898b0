//! ConfigMap `kube-system/extension-apiserver-authentication`, in which kube-apiserver publishes
//! the authorities of clients and of front proxies, and the headers of front proxies.

use std::sync::Arc;

use ::kube::Api;
use ::kube::runtime::watcher::{self, Event};
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::follow::follow;
use crate::kube::call::{Call, Error};
use crate::kube::client::Client;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

/// What kube-apiserver published last. A part that is missing or malformed keeps its last valid
/// value, as in `k8s.io/apiserver/pkg/server/dynamiccertificates`, so that a mistake in the
/// ConfigMap does not lock out everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthenticationConfig {
    /// `client-ca-file`: PEM bundle that signs users' certificates.
    pub client_ca: Option<Arc<str>>,
    /// `requestheader-client-ca-file`: PEM bundle that signs front proxies' certificates.
    pub front_proxy_ca: Option<Arc<str>>,
    /// Names and headers of front proxies.
    pub front_proxy: FrontProxyConfig,
}

/// Names and headers of front proxies. A list that is absent is empty: UIDs are trusted only if
/// kube-apiserver lists a header for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontProxyConfig {
    /// `requestheader-allowed-names`.
    pub allowed_names: Vec<String>,
    /// `requestheader-username-headers`.
    pub username_headers: Vec<String>,
    /// `requestheader-uid-headers`.
    pub uid_headers: Vec<String>,
    /// `requestheader-group-headers`.
    pub group_headers: Vec<String>,
    /// `requestheader-extra-headers-prefix`.
    pub extra_headers_prefix: Vec<String>,
}

/// Follows the ConfigMap.
#[derive(Debug)]
pub struct AuthenticationInformer {
    client: Client,
    published: watch::Sender<AuthenticationConfig>,
    synced: watch::Sender<bool>,
}

// === impl AuthenticationConfig ===

impl AuthenticationConfig {
    /// This configuration, with the valid parts of a ConfigMap replaced.
    fn updated(&self, map: &ConfigMap) -> Self {
        let text = |key: &str| {
            let text = map.data.as_ref()?.get(key)?;
            (!text.is_empty()).then_some(text.as_str())
        };
        let bundle = |key, old: &Option<Arc<str>>| match text(key) {
            Some(pem) => Some(Arc::from(pem)),
            None => old.clone(),
        };
        let list = |key: &str| match text(key) {
            None => Ok(Vec::new()),
            Some(json) => {
                serde_json::from_str::<Vec<String>>(json).map_err(|error| format!("{key}: {error}"))
            }
        };
        let front_proxy = || {
            Ok::<_, String>(FrontProxyConfig {
                allowed_names: list("requestheader-allowed-names")?,
                username_headers: list("requestheader-username-headers")?,
                uid_headers: list("requestheader-uid-headers")?,
                group_headers: list("requestheader-group-headers")?,
                extra_headers_prefix: list("requestheader-extra-headers-prefix")?,
            })
        };
        let front_proxy = front_proxy().unwrap_or_else(|error| {
            tracing::error!(
                %error,
                "ConfigMap {NAMESPACE}/{NAME} is malformed, keeping the last front proxy headers"
            );
            self.front_proxy.clone()
        });
        Self {
            client_ca: bundle("client-ca-file", &self.client_ca),
            front_proxy_ca: bundle("requestheader-client-ca-file", &self.front_proxy_ca),
            front_proxy,
        }
    }
}

// === impl AuthenticationInformer ===

impl AuthenticationInformer {
    /// An informer that has not read anything.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            published: watch::Sender::default(),
            synced: watch::Sender::new(false),
        }
    }

    /// The configuration, as it changes.
    pub fn published(&self) -> watch::Receiver<AuthenticationConfig> {
        self.published.subscribe()
    }

    /// Whether the ConfigMap has been read, or is known to be missing.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// Reads the ConfigMap once. A missing one is not an error: kube-apiserver may not have written
    /// it yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read(&self) -> Result<(), Error> {
        let call = Call {
            method: Method::GET,
            path: PATH,
            body: bytes::Bytes::new(),
        };
        match call.send::<ConfigMap>(&self.client, None).await {
            Ok(map) => {
                self.publish(&map);
                self.synced.send_replace(true);
                Ok(())
            }
            Err(error) if error.is_not_found() => {
                tracing::warn!("ConfigMap {NAMESPACE}/{NAME} does not exist yet");
                self.synced.send_replace(true);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Follows the ConfigMap until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let api = Api::<ConfigMap>::namespaced(self.client.inner.clone(), NAMESPACE);
        // The role `extension-apiserver-authentication-reader` allows this one name only.
        let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        let apply = |event| match event {
            Event::Apply(map) | Event::InitApply(map) => self.publish(&map),
            Event::Delete(_) => {
                tracing::warn!(
                    "ConfigMap {NAMESPACE}/{NAME} was deleted, keeping its last content"
                );
            }
            Event::InitDone => {
                self.synced.send_replace(true);
            }
            Event::Init => {}
        };
        follow("the authentication ConfigMap", api, config, stop, apply).await;
    }

    fn publish(&self, map: &ConfigMap) {
        self.published.send_if_modified(|current| {
            let updated = current.updated(map);
            let changed = updated != *current;
            *current = updated;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(data: &[(&str, &str)]) -> ConfigMap {
        let owned = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ConfigMap {
            data: Some(owned.collect()),
            ..ConfigMap::default()
        }
    }

    #[test]
    fn invalid_and_missing_parts_keep_their_last_value() {
        let first = AuthenticationConfig::default().updated(&map(&[
            ("client-ca-file", "A"),
            ("requestheader-client-ca-file", "B"),
            ("requestheader-allowed-names", r#"["front-proxy-client"]"#),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ]));
        assert_eq!(first.client_ca.as_deref(), Some("A"));
        assert_eq!(first.front_proxy.username_headers, ["X-Remote-User"]);
        assert!(first.front_proxy.uid_headers.is_empty(), "only if listed");

        let second = first.updated(&map(&[
            ("client-ca-file", ""),
            ("requestheader-client-ca-file", "C"),
            ("requestheader-allowed-names", "not JSON"),
        ]));
        assert_eq!(second.client_ca.as_deref(), Some("A"));
        assert_eq!(second.front_proxy_ca.as_deref(), Some("C"));
        assert_eq!(second.front_proxy, first.front_proxy);

        let third = second.updated(&map(&[(
            "requestheader-uid-headers",
            r#"["X-Remote-Uid"]"#,
        )]));
        assert_eq!(third.front_proxy.uid_headers, ["X-Remote-Uid"]);
        assert!(third.front_proxy.allowed_names.is_empty());
    }
}
