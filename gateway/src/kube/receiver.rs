//! A web server that a kubeconfig names and that accepts documents at one URL.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::kube::Config;
use ::kube::client::Body;
use ::kube::config::{KubeConfigOptions, Kubeconfig};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;

use super::call::{Error, rejected, unreachable};
use super::client::{Client, ConnectError};

/// Timeout of one request: that of `k8s.io/apiserver/pkg/util/webhook`.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a response, of which only the error is read.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// A web server that accepts documents; cheap to clone.
#[derive(Clone)]
pub struct Receiver {
    client: Client,
    path: Arc<str>,
}

impl Receiver {
    /// Reads the kubeconfig that a flag names. Must be called within a Tokio runtime. No connection
    /// is opened.
    ///
    /// # Errors
    /// If the file is unusable.
    pub async fn configure(flag: &'static str, path: &Path) -> Result<Self, ConnectError> {
        let unusable = |reason: String| ConnectError::Kubeconfig {
            flag,
            path: path.to_owned(),
            reason,
        };
        let file = Kubeconfig::read_from(path).map_err(|error| unusable(error.to_string()))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|error| unusable(error.to_string()))?;
        // The client adds paths to that of the server, and a request has one of at least "/".
        let url = config.cluster_url.clone();
        let path_and_query = url.path_and_query().map_or("/", |path| path.as_str());
        let mut parts = url.clone().into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        config.cluster_url = Uri::from_parts(parts).map_err(|error| unusable(error.to_string()))?;
        let client = Client::new(config).map_err(unusable)?;
        Ok(Self {
            client,
            path: path_and_query.into(),
        })
    }

    /// The address of the server, for logs.
    #[must_use]
    pub fn server(&self) -> &str {
        self.client.server()
    }

    /// Sends a document.
    ///
    /// # Errors
    /// If the server is unreachable or does not accept it.
    pub async fn post(&self, document: Bytes) -> Result<(), Error> {
        let exchange = timeout(TIMEOUT, self.exchange(document)).await;
        exchange.unwrap_or(Err(Error::Timeout(TIMEOUT)))
    }

    async fn exchange(&self, document: Bytes) -> Result<(), Error> {
        let request = Request::post(&*self.path)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(Body::from(document.to_vec()))
            .map_err(|error| Error::Unreadable(error.to_string()))?;
        let response = self.client.inner.send(request).await;
        let (head, body) = response.map_err(|error| unreachable(&error))?.into_parts();
        if head.status.is_success() {
            return Ok(());
        }
        // bounded: by `Limited`.
        let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        Err(rejected(
            head.status,
            &head.headers,
            &body.unwrap_or_default(),
        ))
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Receiver")
            .field("server", &self.server())
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
