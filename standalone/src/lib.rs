//! A server for one machine: no cluster, no setup, the same code path behind it.

mod listen;

mod data_dir;
pub mod kubeconfig;

mod driver;
mod dsn;
mod output;
mod sidecar;
mod socket;

mod options;
mod run;

pub use data_dir::DataDir;
pub use driver::{Choice, Driver};
pub use dsn::{Dsn, redacted};
pub use listen::Listen;
pub use options::Standalone;
pub use run::run;
pub use sidecar::{Program, Sidecar};
pub use socket::Socket;

use std::path::PathBuf;

/// Why there is no server. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be made or used.
    #[error("--data-dir {path}: {problem}", path = path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No directory can be made for the socket.
    #[error("cannot make a directory for the driver's socket: {0}")]
    Socket(#[source] std::io::Error),
    /// The driver's program is not where it should be.
    #[error("no storage driver at {}: build or install it there, or choose another --backend", .0.display())]
    NoDriver(PathBuf),
    /// The driver's program cannot be started.
    #[error("cannot start {program}: {source}", program = program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The driver ended instead of serving.
    #[error("{name}: {reason}")]
    Ended {
        /// The driver.
        name: String,
        /// Its last words, or how it ended.
        reason: String,
    },
    /// The driver neither serves nor ends.
    #[error("{name} does not serve after {seconds} s: {last}")]
    Silent {
        /// The driver.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// What it said last, or that it said nothing.
        last: String,
    },
    /// The gateway cannot be started, or has ended.
    #[error(transparent)]
    Gateway(#[from] gateway::app::Error),
    /// Flags of the gateway cannot be obeyed.
    #[error(transparent)]
    Config(#[from] gateway::config::Error),
    /// The address of the driver cannot be used.
    #[error("--backend: {0}")]
    Backend(#[from] gateway::backend::EndpointError),
    /// Certificates cannot be made.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// The PostgreSQL driver does not know where its database is.
    #[error("--backend postgres needs --postgres-dsn DSN, or ARK_POSTGRES_DSN in the environment")]
    NoDsn,
    /// A DSN that would not be used.
    #[error(
        "--postgres-dsn (ARK_POSTGRES_DSN) is only for --backend postgres: leave it out, or give \
         --backend postgres"
    )]
    StrayDsn,
    /// The kubeconfig cannot be written.
    #[error("cannot write {path}: {source}: give another --kubeconfig")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Storage did not become ready.
    #[error("storage is not ready after {seconds} s: {reason}")]
    NotReady {
        /// The time limit, seconds.
        seconds: u64,
        /// What is missing.
        reason: String,
    },
    /// What is stored cannot be read.
    #[error("{0}")]
    Damaged(String),
}
