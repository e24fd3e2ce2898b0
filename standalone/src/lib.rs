//! A server on one machine without a cluster: gateway and driver, with the code path of a cluster, and
//! the kinds and controllers that clients expect of every cluster.

mod listen;
mod names;

mod data_dir;
pub mod kubeconfig;

mod driver;
mod dsn;
mod logging;
mod output;
mod sidecar;
mod socket;

mod client;
mod kinds;

mod admission;
mod control;

mod options;
mod run;

pub use data_dir::DataDir;
pub use driver::{Choice, Driver};
pub use dsn::Dsn;
pub use kubeconfig::Kubeconfig;
pub use listen::Listen;
pub use logging::Logs;
pub use names::{AdvertiseUrl, Name};
pub use options::Standalone;
pub use run::run;
pub use sidecar::{Program, Sidecar};
pub use socket::Socket;

use std::path::PathBuf;

/// Why there is no server. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be created or used.
    #[error("--data-dir {path}: {problem}", path = path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The cause.
        problem: String,
    },
    /// The directory of the socket cannot be created.
    #[error("cannot create a directory for the driver's socket: {0}")]
    Socket(#[source] std::io::Error),
    /// The program of the driver does not exist.
    #[error("no storage driver at {}: build or install it there, or choose another --backend", .0.display())]
    NoDriver(PathBuf),
    /// The program of the driver cannot be started.
    #[error("cannot start {program}: {source}", program = program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The IO error.
        source: std::io::Error,
    },
    /// The driver ended instead of serving.
    #[error("{name}: {reason}")]
    Ended {
        /// The driver.
        name: String,
        /// Its last output line, or its exit status.
        reason: String,
    },
    /// The driver neither serves nor ends.
    #[error("{name} does not serve after {seconds} s: {last}")]
    Silent {
        /// The driver.
        name: String,
        /// The timeout, seconds.
        seconds: u64,
        /// Its last output line, or that there is none.
        last: String,
    },
    /// The gateway cannot be started, or ended.
    #[error(transparent)]
    Gateway(#[from] gateway::app::Error),
    /// The flags of the gateway are invalid.
    #[error(transparent)]
    Config(#[from] gateway::config::Error),
    /// The address of the driver is invalid.
    #[error("--backend: {0}")]
    Backend(#[from] gateway::backend::EndpointError),
    /// Certificates cannot be created.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// `--backend postgres` without a DSN.
    #[error("--backend postgres needs --postgres-dsn DSN, or ARK_POSTGRES_DSN in the environment")]
    NoDsn,
    /// A DSN for another driver.
    #[error(
        "--postgres-dsn (ARK_POSTGRES_DSN) is only for --backend postgres: leave it out, or give \
         --backend postgres"
    )]
    StrayDsn,
    /// The kubeconfig cannot be written.
    #[error("--kubeconfig: {0}, or give another file")]
    Kubeconfig(#[from] kubeconfig::Error),
    /// The kubeconfig was not written because of a bug.
    #[error("writing the kubeconfig panicked, see the log above")]
    Panicked,
    /// Storage did not become ready.
    #[error("storage is not ready after {seconds} s: {reason}")]
    NotReady {
        /// The timeout, seconds.
        seconds: u64,
        /// The failed readiness check.
        reason: String,
    },
    /// Stored data cannot be read.
    #[error("{0}")]
    Damaged(String),
}
