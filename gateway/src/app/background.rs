//! The tasks that a server runs besides its connections.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::Upstream;
use super::named::named;
use super::reload::Reload;
use crate::audit;
use crate::compute::Workers;
use crate::handlers::Exposition;
use crate::serving::cert_reload::Reloader;
use crate::serving::certificate_metrics::CertificateMetrics;
use crate::store::StoreTask;
use crate::telemetry::trace::Exporter;

/// Tasks that are not started yet.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) certificates: Reloader,
    pub(super) certificate_metrics: CertificateMetrics,
    pub(super) upstream: Upstream,
    /// `None` if the handlers use no store.
    pub(super) storage: Option<Storage>,
    /// The backends of the audit.
    pub(super) audit: audit::Writers,
    /// `None` if nothing is traced.
    pub(super) exporter: Option<Exporter>,
    /// `None` if no signal announces new manifests.
    pub(super) reload: Option<Reload>,
    /// The listener for metrics, and what it serves.
    pub(super) metrics: Option<(TcpListener, Arc<Exposition>)>,
}

/// The task of the store, and the threads for large objects.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) task: StoreTask,
    pub(super) workers: Workers,
}

/// Tasks that run. A drop aborts them.
#[derive(Debug)]
pub(super) struct Running {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
    workers: Option<Workers>,
}

impl Background {
    /// Starts all tasks.
    pub(super) fn start(self) -> Running {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let workers = self.storage.map(|Storage { task, workers }| {
            tasks.spawn(named("store", task.run(stop.clone())));
            workers
        });
        let certificates = self.certificates.run(stop.clone());
        tasks.spawn(named("reload of certificates", certificates));
        if !self.audit.is_empty() {
            let audit = self.audit.run(stop.clone());
            tasks.spawn(named("the audit", audit));
        }
        if let Some(exporter) = self.exporter {
            let exporter = exporter.run(stop.clone());
            tasks.spawn(named("the export of spans", exporter));
        }
        if let Some(reload) = self.reload {
            let reload = reload.run(stop.clone());
            tasks.spawn(named("reload of manifests", reload));
        }
        if let Some((listener, exposition)) = self.metrics {
            let render = move |format| exposition.render(format);
            let metrics = exposition::serve(listener, render, stop.clone());
            tasks.spawn(named("the listener for metrics", metrics));
        }
        self.upstream
            .start(self.certificate_metrics, &mut tasks, &stop);
        Running {
            tasks,
            stop,
            workers,
        }
    }
}

impl Running {
    /// Waits for the end of a task, which none reaches before [`Self::stop`]; returns its name.
    pub(super) async fn ended(&mut self) -> &'static str {
        let ended = self.tasks.join_next().await;
        ended.and_then(Result::ok).unwrap_or("a task")
    }

    /// Stops all tasks and waits for them.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        if let Some(workers) = self.workers {
            // Blocks until the last job is done.
            let _ = spawn_blocking(|| workers.join()).await;
        }
    }
}
