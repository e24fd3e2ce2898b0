//! One way to identify a caller.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;

use super::{Error, Peer};
use crate::request::User;

/// What a request presents about its caller.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// The other end of the connection.
    pub peer: &'a Peer,
    /// The headers. An authenticator that accepts a caller removes the credentials from them, so that
    /// no later step can use them.
    pub headers: &'a mut HeaderMap,
    /// The path of the request.
    pub path: &'a str,
}

/// One way to identify a caller, in the sense of `authenticator.Request` of `k8s.io/apiserver`.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Identifies the caller of a request; `None` if the request has no credentials of this kind.
    ///
    /// # Errors
    /// If it has, and they are not accepted.
    async fn authenticate(
        &self,
        credentials: &mut Credentials<'_>,
    ) -> Result<Option<Arc<User>>, Error>;

    /// Whether the connection alone identifies a user or a front proxy, before its first request.
    fn knows(&self, _peer: &Peer) -> bool {
        false
    }
}
