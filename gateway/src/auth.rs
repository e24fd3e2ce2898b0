//! Who is asking: from a connection's certificate and a request's headers to a
//! [`User`](crate::request::User).
//!
//! The authenticators are tried in kube-apiserver's order (front proxy, client certificate) and
//! the first that knows the caller wins. A caller that presented credentials nobody accepts is
//! refused; a caller without credentials is anonymous, and anonymous callers reach the health
//! paths only.

mod authenticator;
pub mod peer;
pub mod request_header;
pub mod trust;
mod x509;

pub use authenticator::Authenticator;
pub use peer::Peer;
pub use request_header::RequestHeaders;
pub use trust::{Bundle, Trust};

/// Why a caller could not be identified. Clients are only told `Unauthorized`; this is for the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No credentials, and the path is not open to anonymous callers.
    #[error("no credentials")]
    Anonymous,
    /// The certificate does not verify against the CA it was checked with.
    #[error("verifying client certificate failed: {0}")]
    Untrusted(#[source] std::sync::Arc<rustls::Error>),
    /// The front proxy's certificate verifies but its name is not on the list.
    #[error("x509: subject with cn={0} is not in the allowed list")]
    NameNotAllowed(String),
    /// The certificate cannot be read.
    #[error("malformed client certificate")]
    Malformed,
}
