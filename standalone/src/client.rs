//! Requests of the server to itself, without a connection: they pass the request chain and the write
//! path like those of any client.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use axum::body::Body;
use gateway::auth::Peer;
use gateway::handlers::Api;
use gateway::stack::Stack;
use gateway::store::{Store, StoreError};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube_json::ParseError;
use pki::Pki;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::Error;

/// The user of the requests: kube-apiserver's name for its own.
pub(crate) const USER: &str = "system:apiserver";
/// Longest response that is read, bytes; the largest object is 32 MiB.
const RESPONSE_LIMIT: usize = 64 << 20;
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Sends requests as [`USER`]; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Weak, because admission steps of the chain have a client as well.
    stack: Weak<Stack<Api>>,
    peer: Arc<Peer>,
    store: Store,
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its code.
    pub(crate) code: StatusCode,
    /// Its body; null if it is not JSON.
    pub(crate) body: Value,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server responded with an error.
    #[error("{method} {path}: {code}: {message}")]
    Rejected {
        /// Method of the request.
        method: Method,
        /// Path of the request.
        path: String,
        /// Code of the response.
        code: StatusCode,
        /// Message of the response.
        message: String,
    },
    /// Objects cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored object cannot be parsed.
    #[error("cannot parse an object: {0}")]
    Object(#[from] ParseError),
    /// The request or its response is malformed, or the server has stopped.
    #[error("{0}")]
    Broken(String),
}

impl Client {
    /// A client of the server with this chain.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub(crate) fn new(stack: &Arc<Stack<Api>>, pki: &Pki) -> Result<Self, Error> {
        let pair = pki.internal(USER)?;
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Self {
            stack: Arc::downgrade(stack),
            peer: Arc::new(Peer::new(address, certificate.into_iter().collect())),
            store: stack.inner.store.clone(),
        })
    }

    /// The stored objects.
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// The chain; `None` after the end of the server.
    pub(crate) fn stack(&self) -> Option<Arc<Stack<Api>>> {
        self.stack.upgrade()
    }

    /// Creates an object in a collection.
    ///
    /// # Errors
    /// If it is rejected.
    pub(crate) async fn create(&self, collection: &str, object: &Value) -> Result<Value, Failure> {
        self.expect(Method::POST, collection, JSON, object).await
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// If it is rejected.
    pub(crate) async fn replace(&self, path: &str, object: &Value) -> Result<Value, Failure> {
        self.expect(Method::PUT, path, JSON, object).await
    }

    /// Applies a merge patch.
    ///
    /// # Errors
    /// If it is rejected.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Result<Value, Failure> {
        self.expect(Method::PATCH, path, MERGE_PATCH, patch).await
    }

    /// Deletes an object or a collection.
    ///
    /// # Errors
    /// If it is rejected.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, Failure> {
        self.expect(Method::DELETE, path, JSON, options).await
    }

    async fn expect(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Value, Failure> {
        let answer = self.send(&method, path, content_type, body).await?;
        if answer.code.is_success() {
            return Ok(answer.body);
        }
        let message = answer.body["message"].as_str().unwrap_or_default();
        Err(Failure::Rejected {
            method,
            path: path.to_owned(),
            code: answer.code,
            message: message.to_owned(),
        })
    }

    /// Sends a request, which has the deadline of every request.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Broken(format!("{path}: {error}"));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, content_type)
            .header(USER_AGENT, "ark-apiserver")
            .body(Body::from(kube_json::to_vec(body)))
            .map_err(|error| broken(&error))?;
        let stack = self
            .stack()
            .ok_or_else(|| Failure::Broken("the server has stopped".to_owned()))?;
        let response = stack.respond(&self.peer, request).await;
        let code = response.status();
        let body = Limited::new(response.into_body(), RESPONSE_LIMIT);
        let body = body.collect().await.map_err(|error| broken(&error))?;
        Ok(Answer {
            code,
            body: serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
        })
    }
}

impl Failure {
    /// Code of the response, if there is one.
    pub(crate) const fn code(&self) -> Option<StatusCode> {
        match self {
            Self::Rejected { code, .. } => Some(*code),
            Self::Store(_) | Self::Object(_) | Self::Broken(_) => None,
        }
    }
}
