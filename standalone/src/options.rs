//! Flags of `standalone`.

use std::path::PathBuf;

use gateway::backend::Endpoint;
use gateway::config::{Kinds, Server, Tuning};
use gateway::handlers::Namespaces;
use gateway::serving::tls;
use pki::Pki;

use crate::{Choice, Driver, Dsn, Error, Listen};

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

    /// Where objects are stored: `sqlite` starts backend-sqlite from beside this program, `postgres`
    /// backend-postgres, `exec:/path/to/driver` another driver, `unix:///SOCKET` uses one that runs
    /// already.
    #[arg(
        long,
        env = "ARK_BACKEND",
        value_name = "BACKEND",
        default_value = "sqlite"
    )]
    pub backend: Choice,

    /// The database of `--backend postgres`: postgres://USER:PASSWORD@HOST/DATABASE or KEY=VALUE…,
    /// as libpq takes it. Everybody on this machine can read a command line: better use the variable.
    #[arg(
        long,
        env = "ARK_POSTGRES_DSN",
        value_name = "DSN",
        hide_env_values = true
    )]
    pub postgres_dsn: Option<Dsn>,

    /// Which kinds to serve.
    #[command(flatten)]
    pub kinds: Kinds,

    /// Limits.
    #[command(flatten)]
    pub tuning: Tuning,
}

impl Standalone {
    /// The storage driver.
    ///
    /// # Errors
    /// If the DSN is missing, or given for another driver.
    pub fn driver(&self) -> Result<Driver, Error> {
        match (&self.backend, &self.postgres_dsn) {
            (Choice::Postgres, Some(dsn)) => Ok(Driver::Postgres(dsn.clone())),
            (Choice::Postgres, None) => Err(Error::NoDsn),
            (Choice::Complete(_), Some(_)) => Err(Error::StrayDsn),
            (Choice::Complete(driver), None) => Ok(driver.clone()),
        }
    }

    /// The configuration of the gateway for the driver at `backend` and these certificates.
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
