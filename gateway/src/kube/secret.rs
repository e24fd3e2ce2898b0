//! One Secret by name: followed by a watch, replaced with its resourceVersion as a precondition.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ::kube::Api;
use ::kube::runtime::watcher::{self, Event};
use bytes::Bytes;
use http::Method;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1;
use tokio_util::sync::CancellationToken;

use super::call::{Call, Error};
use super::client::Client;
use super::informer::follow;

/// Name of an object in a namespace, as `NAMESPACE/NAME`. Both parts are labels or subdomains of
/// RFC 1123, so they are valid in paths, selectors and host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A text that is no [`ObjectName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form NAMESPACE/NAME in lower case")]
pub struct InvalidName(String);

/// A Secret as it was read. An update keeps keys that were not read.
#[derive(Clone, PartialEq)]
pub struct Secret(v1::Secret);

/// The requests for one Secret.
#[derive(Debug, Clone)]
pub struct Secrets {
    client: Client,
    name: ObjectName,
    path: String,
}

// === impl ObjectName ===

impl FromStr for ObjectName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName(text.to_owned());
        let (namespace, name) = text.split_once('/').ok_or_else(invalid)?;
        if !is_subdomain(namespace) || !is_subdomain(name) {
            return Err(invalid());
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}

/// Whether the text may be the name of an object: a subdomain of RFC 1123.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    let character = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 253
        && text.split('.').all(|label| {
            let bytes = label.as_bytes();
            let ends = [bytes.first(), bytes.last()];
            ends.iter()
                .all(|end| end.is_some_and(|byte| character(*byte)))
                && bytes.iter().all(|byte| character(*byte) || *byte == b'-')
        })
}

// === impl Secret ===

impl Secret {
    /// The value of a key; empty if there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> &[u8] {
        let value = self.0.data.as_ref().and_then(|data| data.get(key));
        value.map_or(&[], |value| &value.0)
    }

    /// The same Secret with other values of these keys.
    #[must_use]
    pub fn with<'a>(&self, values: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let mut changed = self.clone();
        let data = changed.0.data.get_or_insert_with(BTreeMap::new);
        for (key, value) in values {
            data.insert(key.to_owned(), ByteString(value));
        }
        changed
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = &self.0.metadata.resource_version;
        out.debug_struct("Secret")
            .field("resource_version", version)
            .finish_non_exhaustive()
    }
}

// === impl Secrets ===

impl Secrets {
    /// The Secret of this name.
    #[must_use]
    pub fn new(client: Client, name: ObjectName) -> Self {
        let ObjectName {
            namespace,
            name: of,
        } = &name;
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{of}");
        Self { client, name, path }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Reads it; `None` if it does not exist.
    ///
    /// # Errors
    /// If kube-apiserver gives no answer.
    pub async fn read(&self) -> Result<Option<Secret>, Error> {
        let call = Call {
            method: Method::GET,
            path: &self.path,
            body: Bytes::new(),
        };
        match call.send(&self.client, None).await {
            Ok(secret) => Ok(Some(Secret(secret))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces it, if it has not changed since `secret` was read.
    ///
    /// # Errors
    /// [`Error::is_conflict`] if it has changed; any other if kube-apiserver does not confirm it.
    pub async fn update(&self, secret: &Secret) -> Result<Secret, Error> {
        let body =
            serde_json::to_vec(&secret.0).map_err(|error| Error::Unreadable(error.to_string()))?;
        let call = Call {
            method: Method::PUT,
            path: &self.path,
            body: body.into(),
        };
        Ok(Secret(call.send(&self.client, None).await?))
    }

    /// Passes the Secret to `seen` whenever it changes, until `stop` is cancelled; `None` while it
    /// does not exist.
    pub async fn watch(&self, stop: CancellationToken, mut seen: impl FnMut(Option<Secret>)) {
        let api = Api::<v1::Secret>::namespaced(self.client.inner.clone(), &self.name.namespace);
        // Allowed for this one name only.
        let config =
            watcher::Config::default().fields(&format!("metadata.name={}", self.name.name));
        let mut listed = None;
        let apply = |event| match event {
            Event::Init => listed = None,
            Event::InitApply(secret) => listed = Some(Secret(secret)),
            Event::InitDone => seen(listed.take()),
            Event::Apply(secret) => seen(Some(Secret(secret))),
            Event::Delete(_) => seen(None),
        };
        follow(
            "the Secret of the serving certificate",
            api,
            config,
            stop,
            apply,
        )
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_name_has_two_valid_parts() {
        let name: ObjectName = "ark-system/ark-tls.v1".parse().unwrap();
        assert_eq!(name.to_string(), "ark-system/ark-tls.v1");
        for text in [
            "", "a", "a/", "/b", "a/b/c", "A/b", "a/b c", "a/-b", "a/b..c", "a/../b",
        ] {
            let error = text.parse::<ObjectName>().unwrap_err().to_string();
            assert!(error.contains("NAMESPACE/NAME"), "{text}");
        }
    }
}
