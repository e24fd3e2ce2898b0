//! From the configuration of an audit to its tasks.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::auditor::Auditor;
use super::backend::{Error, Options, Queue, Queues, log, webhook};
use super::metrics::Metrics;
use super::policy::Policy;
use crate::kube;
use crate::telemetry;

/// How long the events that are left at a shutdown may take. The rest is counted as lost.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

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
