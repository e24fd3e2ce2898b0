//! The other end of a connection, and what its certificate proved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;

use super::union::identified;
use super::{Error, RequestHeaders, Trust, x509};
use crate::request::User;

/// How long one verification of a certificate stands: bounds how long a connection outlives its
/// certificate's expiry, and keeps signature checks out of the request path.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// One accepted connection.
#[derive(Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it presented, leaf first; empty when it presented nothing.
    certificates: Vec<CertificateDer<'static>>,
    proven: Mutex<Option<Proven>>,
}

#[derive(Debug, Clone)]
struct Proven {
    identity: Arc<Identity>,
    trust: Arc<Trust>,
    at: Instant,
}

/// What a peer's certificate says to each authenticator.
#[derive(Debug)]
pub(super) struct Identity {
    /// Whether this is a front proxy; `None` when nothing can be said.
    pub(super) front_proxy: Option<Result<(), Error>>,
    /// The user the certificate names; `None` when it names nobody.
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

    pub(super) fn identity(
        &self,
        trust: &Arc<Trust>,
        headers: Option<&RequestHeaders>,
    ) -> Arc<Identity> {
        let mut proven = self.proven.lock();
        if let Some(known) = proven.as_ref()
            && Arc::ptr_eq(&known.trust, trust)
            && known.at.elapsed() < VERIFIED_FOR
        {
            return known.identity.clone();
        }
        let identity = Arc::new(self.prove(trust, headers));
        *proven = Some(Proven {
            identity: identity.clone(),
            trust: trust.clone(),
            at: Instant::now(),
        });
        identity
    }

    fn prove(&self, trust: &Trust, headers: Option<&RequestHeaders>) -> Identity {
        let Some(leaf) = self.certificates.first() else {
            return Identity {
                front_proxy: None,
                user: None,
            };
        };
        let front_proxy = trust
            .front_proxies
            .as_ref()
            .zip(headers)
            .map(|(bundle, headers)| {
                bundle.verify(&self.certificates)?;
                let name = x509::front_proxy_name(leaf)?;
                let allowed = &headers.allowed_names;
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
