//! Who is asking: from a connection's certificate and a request's headers to a
//! [`User`](crate::request::User).
//!
//! The authenticators are tried in kube-apiserver's order (front proxy, client certificate). A
//! request with credentials that none of them accepts is rejected. A request without credentials is
//! anonymous, and anonymous requests reach the health paths only.

mod authenticator;
mod certificates;
pub mod peer;
pub mod request_header;
pub mod trust;
mod union;
mod x509;

pub use authenticator::{Authenticator, Credentials};
pub use certificates::{Certificates, ClientCertificate, FrontProxy};
pub use peer::Peer;
pub use request_header::RequestHeaders;
pub use trust::{Bundle, Trust};
pub use union::Authenticators;

/// Why a caller could not be identified. The response says only `Unauthorized`; this is for the log.
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
    /// Several authenticators rejected the credentials.
    #[error("{}", in_brackets(.0))]
    All(Vec<Error>),
}

/// As Go's `errors.Aggregate` prints.
fn in_brackets(errors: &[Error]) -> String {
    let errors: Vec<String> = errors.iter().map(Error::to_string).collect();
    format!("[{}]", errors.join(", "))
}
