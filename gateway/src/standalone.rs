//! A server for one machine: no cluster, no setup, the same code path behind it.

mod listen;

mod data_dir;
pub mod kubeconfig;
pub mod pki;
mod private_file;

mod driver;
mod dsn;
mod output;
mod sidecar;
mod socket;

pub use data_dir::DataDir;
pub use driver::{Choice, Driver};
pub use dsn::{Dsn, redacted};
pub use listen::Listen;
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
}
