//! The union of all authenticators.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{Error, Peer, RequestHeaders, Trust};
use crate::authz::ALWAYS_ALLOWED_PATHS;
use crate::request::User;
use crate::request::user::{ANONYMOUS, AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP};

/// Turns connections and headers into users.
#[derive(Debug)]
pub struct Authenticator {
    trust: Arc<ArcSwap<Trust>>,
    request_headers: Option<RequestHeaders>,
    anonymous: Arc<User>,
}

impl Authenticator {
    /// An authenticator over the authorities in `trust`; without `request_headers` nobody may speak
    /// for others.
    pub fn new(trust: Arc<ArcSwap<Trust>>, request_headers: Option<RequestHeaders>) -> Self {
        let anonymous = User::new(ANONYMOUS, [UNAUTHENTICATED_GROUP.to_owned()]);
        Self {
            trust,
            request_headers,
            anonymous: Arc::new(anonymous),
        }
    }

    /// Whether a connection's certificate identifies a user, or a front proxy.
    pub fn knows(&self, peer: &Peer) -> bool {
        let trust = self.trust.load();
        let identity = peer.identity(&trust, self.request_headers.as_ref());
        matches!(identity.front_proxy, Some(Ok(()))) || matches!(identity.user, Some(Ok(_)))
    }

    /// Identifies the caller of one request, and removes the credentials from its headers so that
    /// nothing behind can take them for its own.
    ///
    /// # Errors
    /// When credentials were presented but no authenticator accepts them, or when there are none and
    /// `path` is not open to everybody.
    pub fn authenticate(
        &self,
        peer: &Peer,
        headers: &mut HeaderMap,
        path: &str,
    ) -> Result<Arc<User>, Error> {
        let trust = self.trust.load();
        let identity = peer.identity(&trust, self.request_headers.as_ref());
        let mut refusal = None;
        if let Some((proof, names)) = identity
            .front_proxy
            .as_ref()
            .zip(self.request_headers.as_ref())
        {
            match proof {
                Ok(()) => {
                    if let Some(user) = names.user(headers) {
                        return Ok(identified(self.stripped(user, headers)));
                    }
                }
                Err(err) => refusal = Some(err.clone()),
            }
        }
        match &identity.user {
            Some(Ok(user)) => {
                headers.remove(AUTHORIZATION);
                return Ok(user.clone());
            }
            Some(Err(err)) => refusal = Some(err.clone()),
            None => {}
        }
        match refusal {
            Some(err) => Err(err),
            None if ALWAYS_ALLOWED_PATHS.contains(&path) => Ok(self.anonymous.clone()),
            None => Err(Error::Anonymous),
        }
    }

    fn stripped(&self, user: User, headers: &mut HeaderMap) -> User {
        headers.remove(AUTHORIZATION);
        if let Some(names) = &self.request_headers {
            for name in names.username.iter().chain(&names.uid).chain(&names.group) {
                headers.remove(name);
            }
        }
        user
    }
}

/// Adds the group every identified user is in.
pub(super) fn identified(mut user: User) -> Arc<User> {
    let virtual_group = user.in_group(AUTHENTICATED_GROUP) || user.in_group(UNAUTHENTICATED_GROUP);
    if user.name != ANONYMOUS && !virtual_group {
        user.groups.push(AUTHENTICATED_GROUP.to_owned());
    }
    Arc::new(user)
}

#[cfg(test)]
mod tests;
