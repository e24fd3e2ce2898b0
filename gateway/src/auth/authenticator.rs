//! The interface of authenticators.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;

use super::{Error, Peer};
use crate::request::User;

/// Credentials of a request.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// The peer of the connection.
    pub peer: &'a Peer,
    /// Headers of the request. An authenticator that accepts a caller removes its credentials, so
    /// that later steps cannot use them.
    pub headers: &'a mut HeaderMap,
    /// The path of the request.
    pub path: &'a str,
}

/// One authentication method, as `authenticator.Request` of `k8s.io/apiserver`.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Identifies the caller of a request; `None` if the request has no credentials of this kind.
    ///
    /// # Errors
    /// If the credentials are not accepted.
    async fn authenticate(
        &self,
        credentials: &mut Credentials<'_>,
    ) -> Result<Option<Arc<User>>, Error>;

    /// Whether the connection alone identifies a user or a front proxy, before its first request.
    fn recognizes(&self, _peer: &Peer) -> bool {
        false
    }
}
