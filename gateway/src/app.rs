//! Everything wired together: from configuration and IO to a server that runs.

mod reload;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auth::Certificates;
use crate::compute::{Pool, Workers};
use crate::config::{self, Serve};
pub use crate::handlers::Build;
use crate::handlers::Api;
use crate::health::Health;
use crate::kube;
use crate::resources::Catalog;
use crate::serving::cert_reload::Reloader;
use crate::serving::expiry::Expirations;
use crate::serving::{Bounds, Lifecycle, Limits, Server, tls};
use crate::serving_certificate;
use crate::stack::Stack;
use crate::store::{Phase, Store, StoreTask};
use crate::telemetry::Metrics;

use self::reload::Reload;
pub use self::upstream::Upstream;

/// A server that is bound and not yet running.
#[derive(Debug)]
pub struct App {
    server: Server<Stack<Api>>,
    store: Store,
    store_task: StoreTask,
    certificates: Reloader,
    reload: Reload,
    upstream: Upstream,
    expirations: Expirations,
    shutdown_delay: Duration,
    workers: Workers,
}

/// What a server needs from the operating system.
#[derive(Debug)]
pub struct Io {
    /// Where connections come from.
    pub listener: TcpListener,
    /// Signals that manifests have changed.
    pub hangup: tokio::signal::unix::Signal,
    /// What the process has for its connections.
    pub process: Process,
    /// The kube-apiserver of the cluster.
    pub upstream: Upstream,
}

/// What a process has for its connections.
#[derive(Debug, Clone)]
pub struct Process {
    /// The runtime that accepts them; another one than that of the caller, so that nothing that is
    /// computed for one request delays a handshake or a probe.
    pub connections: Handle,
    /// How many descriptors it may open.
    pub descriptors: usize,
    /// What it was built from.
    pub build: Build,
}

/// Why there is no server, or no longer one. Each is one line for an operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Flags cannot be obeyed.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}: stop what serves there or change {flag}")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
        /// The flag that says where.
        flag: &'static str,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
    /// The threads for heavy work.
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The self-managed certificate cannot be kept.
    #[error(transparent)]
    Keeper(#[from] serving_certificate::Error),
    /// The cluster cannot be used.
    #[error(transparent)]
    Cluster(#[from] kube::ConnectError),
    /// The authorities of the cluster cannot be read.
    #[error(
        "cannot read ConfigMap kube-system/extension-apiserver-authentication: {0}: bind the role \
         extension-apiserver-authentication-reader in kube-system, or set \
         --authentication-tolerate-lookup-failure"
    )]
    LookUp(#[source] kube::Error),
    /// A part that must run for as long as the server has ended.
    #[error("{0} ended unexpectedly: this is a bug, see the log above")]
    Ended(&'static str),
}

/// Serves what the flags say until `stop` is cancelled, then drains.
///
/// # Errors
/// If it cannot be served, or no longer.
pub async fn serve(
    options: &Serve,
    process: Process,
    stop: CancellationToken,
) -> Result<(), Error> {
    let config = options.server()?;
    let catalog = config.kinds.load()?;
    let upstream = Upstream::configure(&config).await?;
    let address = SocketAddr::new(options.bind_address, options.secure_port);
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|source| Error::Bind {
        address: address.to_string(),
        source,
        flag: "--bind-address or --secure-port",
    })?;
    let looked_up = stop.run_until_cancelled(upstream.look_up(&config.delegation));
    match looked_up.await {
        Some(result) => result?,
        None => return Ok(()),
    }
    let io = Io::new(listener, process)?.behind(upstream);
    let app = App::build(config, catalog, io)?;
    tracing::info!(%address, "serving");
    app.run(stop).await
}

impl Io {
    /// A bound socket, SIGHUP, and what the process has.
    ///
    /// # Errors
    /// If the signal cannot be waited for.
    pub fn new(listener: TcpListener, process: Process) -> Result<Self, Error> {
        let hangup = signal(SignalKind::hangup()).map_err(Error::Signals)?;
        Ok(Self {
            listener,
            hangup,
            process,
            upstream: Upstream::default(),
        })
    }

    /// The same, behind a kube-apiserver.
    #[must_use]
    pub fn behind(self, upstream: Upstream) -> Self {
        Self { upstream, ..self }
    }
}

impl App {
    /// Wires a server for `catalog`, which `config.kinds` gave.
    ///
    /// # Errors
    /// If certificates or the backend's address cannot be used.
    pub fn build(config: config::Server, catalog: Catalog, io: Io) -> Result<Self, Error> {
        let (upstream, delegation) = (io.upstream, &config.delegation);
        let metrics = Metrics::new();
        let expirations = Expirations::new(&metrics);
        let certificates = upstream.certificates(config.tls)?;
        let certificates = certificates.reporting(expirations.clone());
        let codec = Arc::new(catalog.clone());
        let (compute, workers) = Pool::start(Pool::usual_threads()).map_err(Error::Threads)?;
        let (store, store_task) = Store::new(&config.backend, codec, config.store, compute);
        let lifecycle = Lifecycle::new();
        let limits = Limits::new(config.max_reads, config.max_writes);
        let health = Health::new(store.phase(), lifecycle.shutdown_initiated.clone());
        let api = Api::new(
            catalog,
            store.clone(),
            metrics.clone(),
            upstream.probes(health),
            limits.clone(),
            config.namespaces,
        )
        .with_build(io.process.build)
        .with_admission(upstream.admission());
        let trusted = Certificates::new(certificates.trust());
        let stack = Arc::new(Stack {
            authenticators: upstream.authenticators(trusted, delegation, &metrics),
            authorizers: upstream.authorizers(delegation, &metrics),
            limits,
            lifecycle: lifecycle.clone(),
            metrics: metrics.clone(),
            inner: api,
        });
        let bounds = Bounds::of_descriptors(io.process.descriptors);
        let server = Server {
            listener: io.listener,
            tls: certificates.config(),
            service: stack.clone(),
            lifecycle,
            bounds,
            connections: io.process.connections,
        };
        Ok(Self {
            server,
            store,
            store_task,
            certificates,
            reload: Reload::new(config.kinds, stack, io.hangup, &metrics),
            upstream,
            expirations,
            shutdown_delay: config.shutdown_delay,
            workers,
        })
    }

    /// Where the store stands, now and as it changes.
    #[must_use]
    pub fn phase(&self) -> tokio::sync::watch::Receiver<Phase> {
        self.store.phase()
    }

    /// Serves until `stop` is cancelled and for the shutdown delay, then drains: every request under
    /// way is answered, watches end, and every task of the server is awaited.
    ///
    /// # Errors
    /// If a part ends that must not.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let lifecycle = self.server.lifecycle.clone();
        let bounds = &self.server.bounds;
        tracing::info!(
            descriptors = bounds.descriptors,
            connections = bounds.connections,
            unauthenticated = bounds.unauthenticated,
            "limits of connections"
        );
        // Stopped last: requests under way need them.
        let background = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(named("store", self.store_task.run(background.clone())));
        let certificates = self.certificates.run(background.clone());
        tasks.spawn(named("reload of certificates", certificates));
        let reload = self.reload.run(background.clone());
        tasks.spawn(named("reload of manifests", reload));
        self.upstream
            .start(self.expirations, &mut tasks, &background);
        let mut serving = pin!(self.server.run());
        let failed = tokio::select! {
            () = stop.cancelled() => None,
            () = serving.as_mut() => Some("the listener"),
            ended = tasks.join_next() => Some(ended.and_then(Result::ok).unwrap_or("a task")),
        };
        if failed != Some("the listener") {
            // Without a part that must run, requests fail.
            let delay = failed.map_or(self.shutdown_delay, |_| Duration::ZERO);
            tracing::info!(delay = delay.as_secs_f32(), "draining");
            tokio::join!(serving, lifecycle.drain(delay));
        }
        background.cancel();
        while tasks.join_next().await.is_some() {}
        let workers = self.workers;
        // Blocks until the last job is done.
        let _ = tokio::task::spawn_blocking(|| workers.join()).await;
        tracing::info!("stopped");
        failed.map_or(Ok(()), |part| Err(Error::Ended(part)))
    }
}

/// A task that says who it was when it ends.
async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}
