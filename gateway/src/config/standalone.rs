//! Flags of `standalone`.

use std::path::PathBuf;

use super::{Kinds, Server, Tuning};
use crate::backend::Endpoint;
use crate::handlers::Namespaces;
use crate::serving::tls;
use crate::standalone::pki::Pki;
use crate::standalone::{Driver, Listen};

/// Flags of `standalone`.
#[derive(Debug, Clone, clap::Args)]
pub struct Standalone {
    /// Where database, keys and kubeconfig live; made if absent.
    #[arg(long, env = "ARK_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Where to serve; port 0 takes a free one.
    #[arg(
        long,
        env = "ARK_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:6443"
    )]
    pub listen: Listen,

    /// Where to write the kubeconfig of the administrator [default: DIR/kubeconfig].
    #[arg(long, env = "ARK_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Where objects are stored: `sqlite` starts backend-sqlite from beside this program,
    /// `exec:/path/to/driver` another driver, `unix:///SOCKET` uses one that runs already.
    #[arg(
        long,
        env = "ARK_BACKEND",
        value_name = "BACKEND",
        default_value = "sqlite"
    )]
    pub backend: Driver,

    /// Which kinds to serve.
    #[command(flatten)]
    pub kinds: Kinds,

    /// Limits.
    #[command(flatten)]
    pub tuning: Tuning,
}

impl Standalone {
    /// What the server is built from, with the driver at `backend` and these certificates.
    #[must_use]
    pub fn server(&self, backend: Endpoint, pki: &Pki) -> Server {
        Server {
            backend,
            store: self.tuning.store(),
            kinds: self.kinds.clone(),
            tls: tls::Files {
                certificate: pki.server.clone(),
                private_key: pki.server_key.clone(),
                client_ca: Some(pki.authority.clone()),
                request_header_ca: None,
            },
            request_headers: None,
            max_reads: self.tuning.max_requests_inflight,
            max_writes: self.tuning.max_mutating_requests_inflight,
            namespaces: Namespaces::Implicit,
        }
    }
}
