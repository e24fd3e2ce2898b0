//! The union of all authenticators.

use std::sync::Arc;

use http::HeaderMap;

use super::authenticator::{Authenticator, Credentials};
use super::{Certificates, ClientCertificate, Error, FrontProxy, Peer};
use crate::request::User;
use crate::request::probe::is_probe;
use crate::request::user::{ANONYMOUS, AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP};

/// Tries authenticators in order. The first that accepts the caller decides.
#[derive(Debug)]
pub struct Authenticators {
    authenticators: Vec<Box<dyn Authenticator>>,
    anonymous: Arc<User>,
}

impl Authenticators {
    /// The union of these authenticators, in this order.
    pub fn new(authenticators: Vec<Box<dyn Authenticator>>) -> Self {
        let anonymous = User::new(ANONYMOUS, [UNAUTHENTICATED_GROUP.to_owned()]);
        Self {
            authenticators,
            anonymous: Arc::new(anonymous),
        }
    }

    /// Adds an authenticator behind the others.
    #[must_use]
    pub fn and(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticators.push(Box::new(authenticator));
        self
    }

    /// Front proxies first, then client certificates, as in kube-apiserver.
    pub fn of_certificates(certificates: Certificates) -> Self {
        let certificates = Arc::new(certificates);
        Self::new(vec![
            Box::new(FrontProxy(Arc::clone(&certificates))),
            Box::new(ClientCertificate(certificates)),
        ])
    }

    /// Whether the certificate of a connection identifies a user or a front proxy.
    pub fn recognizes(&self, peer: &Peer) -> bool {
        self.authenticators.iter().any(|one| one.recognizes(peer))
    }

    /// Identifies the caller of one request, and removes the credentials from its headers so that
    /// later steps cannot use them.
    ///
    /// # Errors
    /// If no authenticator accepts the credentials, or there are none and anonymous requests are
    /// not accepted on the path.
    pub async fn authenticate(
        &self,
        peer: &Peer,
        headers: &mut HeaderMap,
        path: &str,
    ) -> Result<Arc<User>, Error> {
        let mut credentials = Credentials {
            peer,
            headers,
            path,
        };
        let mut errors = Vec::new();
        for authenticator in &self.authenticators {
            match authenticator.authenticate(&mut credentials).await {
                Ok(Some(user)) => return Ok(identified(user)),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        match errors.len() {
            0 if is_probe(path) => Ok(Arc::clone(&self.anonymous)),
            0 => Err(Error::Anonymous),
            1 => Err(errors.swap_remove(0)),
            _ => Err(Error::All(errors)),
        }
    }
}

/// Adds the group of all authenticated users.
pub(super) fn identified(user: Arc<User>) -> Arc<User> {
    let is_virtual = user.in_group(AUTHENTICATED_GROUP) || user.in_group(UNAUTHENTICATED_GROUP);
    if user.name == ANONYMOUS || is_virtual {
        return user;
    }
    let mut user = Arc::unwrap_or_clone(user);
    user.groups.push(AUTHENTICATED_GROUP.to_owned());
    Arc::new(user)
}

#[cfg(test)]
mod tests;
