//! The peer of a connection and the result of verifying its certificate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;

use super::union::identified;
use super::{Error, Trust, x509};
use crate::request::User;

/// How long the result of a verification is cached. It bounds how long a connection outlives the
/// expiry of its certificate, and keeps signature checks off the request path.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// An accepted connection.
#[derive(Debug)]
pub struct Peer {
    /// Remote address.
    pub address: SocketAddr,
    /// Presented chain, leaf first; empty without a client certificate.
    certificates: Vec<CertificateDer<'static>>,
    proven: Mutex<Option<Proven>>,
}

#[derive(Debug, Clone)]
struct Proven {
    identity: Arc<Identity>,
    trust: Arc<Trust>,
    at: Instant,
}

/// Result of the verification for each authenticator.
#[derive(Debug)]
pub(super) struct Identity {
    /// Whether the peer is a front proxy; `None` without a certificate or an authority for proxies.
    pub(super) front_proxy: Option<Result<(), Error>>,
    /// The user of the certificate; `None` if the certificate names no user.
    pub(super) user: Option<Result<Arc<User>, Error>>,
}

impl Peer {
    /// A connection from `address` that presented `certificates`, leaf first.
    pub fn new(address: SocketAddr, certificates: Vec<CertificateDer<'static>>) -> Self {
        Self {
            address,
            certificates,
            proven: Mutex::new(None),
        }
    }

    pub(super) fn identity(&self, trust: &Arc<Trust>) -> Arc<Identity> {
        let mut proven = self.proven.lock();
        if let Some(known) = proven.as_ref()
            && Arc::ptr_eq(&known.trust, trust)
            && known.at.elapsed() < VERIFIED_FOR
        {
            return known.identity.clone();
        }
        let identity = Arc::new(self.prove(trust));
        *proven = Some(Proven {
            identity: identity.clone(),
            trust: trust.clone(),
            at: Instant::now(),
        });
        identity
    }

    fn prove(&self, trust: &Trust) -> Identity {
        let Some(leaf) = self.certificates.first() else {
            return Identity {
                front_proxy: None,
                user: None,
            };
        };
        let front_proxy = trust.front_proxies.as_ref().map(|proxies| {
            proxies.authority.verify(&self.certificates)?;
            let name = x509::front_proxy_name(leaf)?;
            let allowed = &proxies.headers.allowed_names;
            if allowed.is_empty() || allowed.contains(&name) {
                return Ok(());
            }
            Err(Error::NameNotAllowed(name))
        });
        let user = trust.clients.as_ref().and_then(|bundle| {
            let user = bundle
                .verify(&self.certificates)
                .and_then(|()| x509::user(leaf));
            user.map(|user| user.map(|user| identified(Arc::new(user))))
                .transpose()
        });
        Identity { front_proxy, user }
    }
}
