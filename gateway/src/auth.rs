//! Authentication: from the certificate of a connection and the headers of a request to a
//! [`User`](crate::request::User).
//!
//! The authenticators run in kube-apiserver's order: front proxy, client certificate, bearer token. A
//! request with credentials that no authenticator accepts is rejected. A request without
//! credentials is anonymous; anonymous requests are accepted on health paths only.

mod authenticator;
mod bearer_token;
mod certificates;
pub mod peer;
pub mod request_header;
pub mod trust;
mod union;
mod x509;

pub use authenticator::{Authenticator, Credentials};
pub use bearer_token::BearerToken;
pub use certificates::{Certificates, ClientCertificate, FrontProxy};
pub use peer::Peer;
pub use request_header::RequestHeaders;
pub use trust::{Bundle, FrontProxies, Trust};
pub use union::Authenticators;
pub use x509::expiry;

/// Why a caller could not be identified. The response says only `Unauthorized`; the reason is
/// logged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No credentials, and anonymous requests are not accepted on this path.
    #[error("no credentials")]
    Anonymous,
    /// The certificate chain does not lead to the expected authority.
    #[error("verifying client certificate failed: {0}")]
    Untrusted(#[source] std::sync::Arc<rustls::Error>),
    /// The certificate of the front proxy is valid, but its name is not allowed.
    #[error("x509: subject with cn={0} is not in the allowed list")]
    NameNotAllowed(String),
    /// The certificate cannot be read.
    #[error("malformed client certificate")]
    Malformed,
    /// kube-apiserver rejected the token.
    #[error("{0}")]
    InvalidToken(String),
    /// kube-apiserver did not review the token.
    #[error("cannot review the token: {0}")]
    NotReviewed(#[from] crate::kube::Error),
    /// Several authenticators rejected the credentials.
    #[error("{}", in_brackets(.0))]
    All(Vec<Self>),
}

/// Formats several errors as Go's `errors.Aggregate` does.
fn in_brackets(errors: &[Error]) -> String {
    let errors: Vec<String> = errors.iter().map(Error::to_string).collect();
    format!("[{}]", errors.join(", "))
}
