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

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::queue::Queue;
use super::auditor::Auditor;
use super::metrics::Metrics;
use super::policy::{self, Policy};
use crate::{kube, telemetry};

pub(super) use self::queue::Queues;

/// How long the events that are left at a shutdown may take. The rest is counted as lost.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Configured backends, which are not running yet. The default has none.
#[derive(Debug, Default)]
pub struct Backends(Option<Configured>);

#[derive(Debug)]
struct Configured {
    policy: Policy,
    log: Option<(log::Options, log::Output)>,
    webhook: Option<(webhook::Options, kube::Receiver)>,
}

/// The tasks of the backends.
#[derive(Debug, Default)]
pub struct Writers {
    log: Option<log::Writer>,
    webhook: Option<webhook::Writer>,
}

impl Backends {
    /// Reads the policy, opens the log and configures the webhook.
    ///
    /// # Errors
    /// If one of them is unusable.
    pub async fn configure(options: &Options) -> Result<Self, Error> {
        let Some(path) = &options.policy else {
            if options.log.is_some() || options.webhook.is_some() {
                tracing::warn!("no --audit-policy-file: no audit events are recorded");
            }
            return Ok(Self(None));
        };
        let policy = Policy::read(path)?;
        let log = options.log.clone().map(|options| {
            let output = log::Output::open(&options)?;
            Ok::<_, Error>((options, output))
        });
        let webhook = match &options.webhook {
            None => None,
            Some(options) => {
                let flag = "--audit-webhook-config-file";
                let receiver = kube::Receiver::configure(flag, &options.kubeconfig).await?;
                tracing::info!(server = receiver.server(), "sending audit events");
                Some((options.clone(), receiver))
            }
        };
        let log = log.transpose()?;
        if log.is_none() && webhook.is_none() {
            tracing::warn!(
                "--audit-policy-file without --audit-log-path or --audit-webhook-config-file: no \
                 audit events are recorded"
            );
            return Ok(Self(None));
        }
        Ok(Self(Some(Configured {
            policy,
            log,
            webhook,
        })))
    }

    /// Starts the thread of the log, and returns the tasks to run.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(self, metrics: &telemetry::Metrics) -> Result<(Auditor, Writers), Error> {
        let Some(configured) = self.0 else {
            return Ok((Auditor::default(), Writers::default()));
        };
        let (metrics, mut queues) = (Metrics::new(metrics), Vec::new());
        let mut writers = Writers::default();
        if let Some((options, output)) = configured.log {
            let (queue, jobs) = Queue::new(&options.delivery, &metrics);
            queues.push(queue);
            let writer = log::Writer::start(&options, output, jobs, metrics.clone());
            writers.log = Some(writer.map_err(Error::Thread)?);
        }
        if let Some((options, receiver)) = configured.webhook {
            let (queue, jobs) = Queue::new(&options.delivery, &metrics);
            queues.push(queue);
            let writer = webhook::Writer::new(&options, receiver, jobs, metrics.clone());
            writers.webhook = Some(writer);
        }
        let auditor = Auditor::new(configured.policy, Queues::new(queues), metrics);
        Ok((auditor, writers))
    }
}

impl Writers {
    /// Whether there is nothing to run.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.log.is_none() && self.webhook.is_none()
    }

    /// Delivers events until cancelled, then those that are left, for a limited time.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        if let Some(log) = self.log {
            tasks.spawn(flushed("log", log.run(stop.clone()), stop.clone()));
        }
        if let Some(webhook) = self.webhook {
            tasks.spawn(flushed("webhook", webhook.run(stop.clone()), stop));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Runs a backend, and after the shutdown for [`FLUSH_TIMEOUT`] at most.
async fn flushed(plugin: &'static str, run: impl Future<Output = ()>, stop: CancellationToken) {
    let expired = async {
        stop.cancelled().await;
        tokio::time::sleep(FLUSH_TIMEOUT).await;
    };
    tokio::select! {
        () = run => {}
        () = expired => {
            tracing::error!(plugin, "audit events could not be delivered before the shutdown");
        }
    }
}

/// Where the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPath {
    /// Standard output.
    Stdout,
    /// A file.
    File(Arc<Path>),
}
