//! From flags and the environment to what the server is built from.
//!
//! Flags are kube-apiserver's wherever it has one that means the same; every flag is also read from
//! the environment as `ARK_` and its name.

mod serve;

mod front_proxy;
mod kinds;
mod tuning;

mod size;

pub use front_proxy::FrontProxy;
pub use kinds::Kinds;
pub use serve::Serve;
pub use size::Size;
pub use tuning::Tuning;

use std::path::PathBuf;

use crate::auth::RequestHeaders;
use crate::backend::{Endpoint, EndpointError};
use crate::handlers::Namespaces;
use crate::resources::{Conflict, LoadError};
use crate::serving::tls;
use crate::store::StoreConfig;

/// What a server is built from.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where objects are stored.
    pub backend: Endpoint,
    /// How much of them is kept in memory.
    pub store: StoreConfig,
    /// Which kinds are served.
    pub kinds: Kinds,
    /// Certificates of the server and of those who vouch for clients.
    pub tls: tls::Files,
    /// The headers by which a front proxy speaks for users; `None` if there is no front proxy.
    pub request_headers: Option<RequestHeaders>,
    /// Requests that only read which may run at once; 0 is unlimited.
    pub max_reads: usize,
    /// Requests that write which may run at once; 0 is unlimited.
    pub max_writes: usize,
    /// Who answers for namespaces.
    pub namespaces: Namespaces,
}

/// Flags that cannot be obeyed. Each is one line that names the flag or file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backend's address or certificates.
    #[error("--backend: {0}")]
    Backend(#[from] EndpointError),
    /// A file that a flag names cannot be read.
    #[error("{flag}: cannot read {path}: {source}", path = path.display())]
    Unreadable {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody could be let in.
    #[error("nobody could log in: give --client-ca-file or --requestheader-client-ca-file")]
    NoAuthority,
    /// A header name that HTTP does not allow.
    #[error("--{flag}: {name:?} is no name of a header")]
    HeaderName {
        /// The flag.
        flag: &'static str,
        /// What was given.
        name: String,
    },
    /// A manifest cannot be served.
    #[error("resources: {0}")]
    Manifest(#[from] LoadError),
    /// Two manifests cannot be served together.
    #[error("resources: {0}")]
    Conflict(#[from] Conflict),
    /// There is no kind at all.
    #[error("--no-default-resources leaves nothing to serve: give --resources DIR")]
    NoKinds,
}

#[cfg(test)]
mod tests;
