//! Where events go: a file or a web server, each behind a bounded queue.

pub mod log;
pub mod webhook;

mod batch;
mod queue;
mod rotated;
mod throttle;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::queue::{Queue, Queues};
use super::policy;
use crate::kube;

/// Policy and backends of a server. The default records nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// File of the policy; without one nothing is recorded.
    pub policy: Option<PathBuf>,
    /// The log.
    pub log: Option<log::Options>,
    /// The webhook.
    pub webhook: Option<webhook::Options>,
}

/// How events reach a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delivery {
    /// Whether requests wait for their events.
    pub mode: Mode,
    /// Events that wait for the backend; further ones are lost, or their requests wait.
    pub buffer: usize,
    /// Events that the backend receives at once.
    pub max_batch: usize,
    /// How long a batch waits until it has as many.
    pub max_wait: Duration,
    /// Limit of batches per second.
    pub throttle: Option<Throttle>,
}

/// Whether requests wait for their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// No. Events are lost if the buffer is full.
    Batch,
    /// A response waits until its events are stored or have failed.
    Blocking,
    /// As `blocking`, and a request whose first event is not stored is rejected.
    BlockingStrict,
}

/// A limit of batches per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// Average number per second.
    pub qps: f32,
    /// Largest number at a time.
    pub burst: u32,
}

/// Limits of the size of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncate {
    /// Largest event, bytes; a larger one loses its bodies, and is lost if that does not suffice.
    pub max_event: usize,
    /// Largest batch, bytes; a larger one is split.
    pub max_batch: usize,
}

/// Why the audit cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy is unusable.
    #[error(transparent)]
    Policy(#[from] policy::Error),
    /// The file of the log cannot be opened.
    #[error("--audit-log-path: cannot open {path}: {source}", path = path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The IO error.
        source: std::io::Error,
    },
    /// The thread of the log cannot be started.
    #[error("cannot start the thread of the audit log: {0}")]
    Thread(#[source] std::io::Error),
    /// The kubeconfig of the webhook is unusable.
    #[error(transparent)]
    Webhook(#[from] kube::ConnectError),
}

/// Where the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPath {
    /// Standard output.
    Stdout,
    /// A file.
    File(Arc<Path>),
}
