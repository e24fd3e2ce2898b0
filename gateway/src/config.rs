//! Flags and environment variables to the configuration of a server.
//!
//! Flags have kube-apiserver's names where the meaning is the same. Every flag can also be set by
//! the environment variable `ARK_` followed by its name.

mod serve;

mod admission;
mod audit;
mod delegation;
mod front_proxy;
mod kinds;
mod monitoring;
mod self_managed;
mod tracing;
mod tuning;

mod size;

pub use self::tracing::TracingFlags;
pub use admission::{Admission, AdmissionFlags, WebhookAdmission};
pub use audit::{AuditFlags, LogFlags, WebhookFlags};
pub use delegation::{Delegation, DelegationFlags};
pub use front_proxy::FrontProxy;
pub use kinds::Kinds;
pub use monitoring::Monitoring;
pub use self_managed::SelfManagedFlags;
pub use serve::Serve;
pub use size::Size;
pub use tuning::Tuning;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::authz::InvalidPath;
use crate::backend::{Endpoint, EndpointError};
use crate::config_file::ConfigFileError;
use crate::resources::{Conflict, LoadError};
use crate::serving::tls;
use crate::serving_certificate::SelfManaged;
use crate::store::StoreConfig;
use crate::telemetry::trace;

/// Configuration of a server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and credentials of the storage driver.
    pub backend: Endpoint,
    /// Bounds of the caches.
    pub store: StoreConfig,
    /// Manifests of the served kinds.
    pub kinds: Kinds,
    /// Serving certificate, and the authorities of clients.
    pub tls: tls::Files,
    /// Concurrent read-only requests; 0 is unlimited.
    pub max_reads: usize,
    /// Concurrent mutating requests; 0 is unlimited.
    pub max_writes: usize,
    /// What is delegated to kube-apiserver.
    pub delegation: Delegation,
    /// Steps of admission that need the cluster.
    pub admission: Admission,
    /// Where metrics are served without credentials; `None` serves them to authorized users only.
    pub metrics: Option<SocketAddr>,
    /// How long requests are served after the start of a shutdown.
    pub shutdown_delay: Duration,
    /// Where the serving certificate is kept if not in files.
    pub self_managed: Option<SelfManaged>,
    /// Which requests are recorded, and where.
    pub audit: crate::audit::Options,
    /// Where spans are exported; `None` makes none.
    pub tracing: Option<trace::Options>,
}

/// Invalid flags. Each message is one line that names the flag or file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address or the certificates of the backend are invalid.
    #[error("--backend: {0}")]
    Backend(#[from] EndpointError),
    /// A file that a flag names cannot be read.
    #[error("{flag}: cannot read {path}: {source}", path = path.display())]
    Unreadable {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// The IO error.
        source: std::io::Error,
    },
    /// No authority for clients is configured, so no client could authenticate.
    #[error(
        "no client authority: set --client-ca-file, --requestheader-client-ca-file or --kubeconfig"
    )]
    NoAuthority,
    /// The cluster of a self-managed certificate is not configured.
    #[error(
        "--self-managed-tls-secret needs a cluster: set --kubeconfig, or mount the token of the \
         service account"
    )]
    NoCluster,
    /// Flags of the audit do not fit together.
    #[error("{0}")]
    Audit(String),
    /// The file of tracing is invalid.
    #[error("--tracing-config-file: {0}")]
    Tracing(#[source] ConfigFileError),
    /// A path that is always allowed is invalid.
    #[error("--authorization-always-allow-paths: {0}")]
    AlwaysAllowPath(#[from] InvalidPath),
    /// No admission plugin has this name.
    #[error("{list}-admission-plugins plugin {name:?} is unknown: the plugins are {known}")]
    UnknownPlugin {
        /// `enable` or `disable`.
        list: &'static str,
        /// The given name.
        name: String,
        /// All names.
        known: String,
    },
    /// A plugin is both enabled and disabled.
    #[error("[{0}] in enable-admission-plugins and disable-admission-plugins overlapped")]
    OverlappingPlugin(String),
    /// The configuration of admission plugins is unusable.
    #[error("--admission-control-config-file: {0}")]
    AdmissionConfig(#[from] ConfigFileError),
    /// A header name that HTTP does not allow.
    #[error("--{flag}: {name:?} is not a valid header name")]
    HeaderName {
        /// The flag.
        flag: &'static str,
        /// The given name.
        name: String,
    },
    /// A manifest cannot be served.
    #[error("resources: {0}")]
    Manifest(#[from] LoadError),
    /// Two manifests cannot be served together.
    #[error("resources: {0}")]
    Conflict(#[from] Conflict),
    /// No kind is configured.
    #[error("--no-default-resources leaves nothing to serve: give --resources DIR")]
    NoKinds,
}

/// Reads the file that a flag names.
fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Unreadable {
        flag,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
