//! Authenticators that use the certificate of the connection.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use super::authenticator::{Authenticator, Credentials};
use super::peer::Identity;
use super::trust::FrontProxies;
use super::{Error, Peer, RequestHeaders, Trust};
use crate::request::User;
use crate::request::user::Method;

/// The authorities that certificates are verified with. Each connection is verified once, for both
/// authenticators.
#[derive(Debug)]
pub struct Certificates {
    trust: Arc<ArcSwap<Trust>>,
}

/// Users in the request headers of a front proxy.
#[derive(Debug)]
pub struct FrontProxy(pub Arc<Certificates>);

/// Users identified by their own certificate.
#[derive(Debug)]
pub struct ClientCertificate(pub Arc<Certificates>);

impl Certificates {
    /// Verifies with the current authorities of `trust`.
    pub fn new(trust: Arc<ArcSwap<Trust>>) -> Self {
        Self { trust }
    }

    fn identity(&self, peer: &Peer) -> Arc<Identity> {
        peer.identity(&self.trust.load())
    }
}

#[async_trait]
impl Authenticator for FrontProxy {
    async fn authenticate(
        &self,
        credentials: &mut Credentials<'_>,
    ) -> Result<Option<Arc<User>>, Error> {
        // Loaded once: certificate and headers are those of the same configuration.
        let trust = self.0.trust.load();
        let Some(FrontProxies { headers: names, .. }) = &trust.front_proxies else {
            return Ok(None);
        };
        match &credentials.peer.identity(&trust).front_proxy {
            None => Ok(None),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(())) => {
                let user = names.user(credentials.headers);
                Ok(user.map(|user| {
                    strip(credentials.headers, names);
                    Arc::new(User {
                        method: Method::FrontProxy,
                        ..user
                    })
                }))
            }
        }
    }

    fn recognizes(&self, peer: &Peer) -> bool {
        matches!(self.0.identity(peer).front_proxy, Some(Ok(())))
    }
}

#[async_trait]
impl Authenticator for ClientCertificate {
    async fn authenticate(
        &self,
        credentials: &mut Credentials<'_>,
    ) -> Result<Option<Arc<User>>, Error> {
        match &self.0.identity(credentials.peer).user {
            None => Ok(None),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(user)) => {
                credentials.headers.remove(AUTHORIZATION);
                Ok(Some(Arc::clone(user)))
            }
        }
    }

    fn recognizes(&self, peer: &Peer) -> bool {
        matches!(self.0.identity(peer).user, Some(Ok(_)))
    }
}

/// Removes the identity headers of a front proxy.
fn strip(headers: &mut HeaderMap, names: &RequestHeaders) {
    headers.remove(AUTHORIZATION);
    for name in names.username.iter().chain(&names.uid).chain(&names.group) {
        headers.remove(name);
    }
    let is_extra = |name: &HeaderName| {
        let mut prefixes = names.extra_prefix.iter();
        prefixes.any(|prefix| name.as_str().starts_with(&**prefix))
    };
    let extra: Vec<HeaderName> = headers
        .keys()
        .filter(|&name| is_extra(name))
        .cloned()
        .collect();
    for name in extra {
        headers.remove(name);
    }
}
