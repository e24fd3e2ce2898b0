//! Construction of a server from configuration and IO, and its run until shutdown.

mod background;
mod builder;
mod in_process;
mod named;
mod reload;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::config::{self, Serve};
use crate::handlers::Api;
pub use crate::handlers::Build;
use crate::kube;
use crate::resources::Catalog;
use crate::serving::{Server, tls};
use crate::serving_certificate;
use crate::stack::{Inner, Stack};
use crate::store::Phase;

use self::background::Background;
pub use self::builder::Builder;
pub use self::in_process::InProcess;
pub use self::upstream::Upstream;

/// A server that is bound and not yet running.
#[derive(Debug)]
pub struct App<I = Api> {
    server: Server<Stack<I>>,
    background: Background,
    shutdown_delay: Duration,
}

/// Operating system resources of a server.
#[derive(Debug)]
pub struct Io {
    /// The socket of the listener.
    pub listener: TcpListener,
    /// SIGHUP, which requests a reload of the manifests.
    pub hangup: Signal,
    /// Resources of the process.
    pub process: Process,
}

/// Resources of a process.
#[derive(Debug, Clone)]
pub struct Process {
    /// The runtime of connections. It differs from that of the caller, so that no computation for a
    /// request delays a handshake or a probe.
    pub connections: Handle,
    /// Limit of open descriptors.
    pub descriptors: usize,
    /// The build of the program.
    pub build: Build,
}

/// Errors at the start of a server, and those that end it. Each message is one line for an
/// operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Flags are invalid.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}: stop the other server or change {flag}")]
    Bind {
        /// The address.
        address: String,
        /// The IO error.
        source: io::Error,
        /// The flag of the address.
        flag: &'static str,
    },
    /// The signal handler cannot be installed.
    #[error("cannot install a signal handler: {0}")]
    Signals(#[source] io::Error),
    /// Threads cannot be started.
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The self-managed certificate cannot be configured.
    #[error(transparent)]
    Keeper(#[from] serving_certificate::Error),
    /// The clients of the cluster cannot be configured.
    #[error(transparent)]
    Cluster(#[from] kube::ConnectError),
    /// The audit cannot be configured.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The authorities of the cluster cannot be read.
    #[error(
        "cannot read ConfigMap kube-system/extension-apiserver-authentication: {0}: bind the role \
         extension-apiserver-authentication-reader in kube-system, or set \
         --authentication-tolerate-lookup-failure"
    )]
    LookUp(#[source] kube::Error),
    /// A task that must run until the shutdown has ended.
    #[error("{0} ended unexpectedly: this is a bug, see the log above")]
    Ended(&'static str),
}

/// Runs a server with these flags until `stop` is cancelled, then drains it.
///
/// # Errors
/// If the server cannot start, or one of its tasks ends.
pub async fn serve(
    options: &Serve,
    process: Process,
    stop: CancellationToken,
) -> Result<(), Error> {
    let config = options.server()?;
    let catalog = config.kinds.load()?;
    let upstream = Upstream::configure(&config).await?;
    let audit = audit::Backends::configure(&config.audit).await?;
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
    let app = App::builder(config, catalog)
        .behind(upstream)
        .with_audit(audit);
    let app = app.build(Io::new(listener, process)?)?;
    tracing::info!(%address, "serving");
    app.run(stop).await
}

impl Io {
    /// A bound socket, SIGHUP, and the resources of the process.
    ///
    /// # Errors
    /// If the signal handler cannot be installed.
    pub fn new(listener: TcpListener, process: Process) -> Result<Self, Error> {
        let hangup = signal(SignalKind::hangup()).map_err(Error::Signals)?;
        Ok(Self {
            listener,
            hangup,
            process,
        })
    }
}

impl App {
    /// Starts the construction of a server for `catalog`, loaded from `config.kinds`.
    #[must_use]
    pub fn builder(config: config::Server, catalog: Catalog) -> Builder {
        Builder::new(config, catalog)
    }

    /// The phase of the store, and its changes.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.server.service.inner.store.phase()
    }
}

impl<I: Inner> App<I> {
    /// The request chain, and the state of its steps.
    #[must_use]
    pub const fn stack(&self) -> &Arc<Stack<I>> {
        &self.server.service
    }

    /// Serves until `stop` is cancelled and for the shutdown delay, then drains: requests in flight
    /// complete, watches end, and every task of the server is awaited.
    ///
    /// # Errors
    /// If a task ends before the shutdown.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let lifecycle = self.server.lifecycle.clone();
        let bounds = &self.server.bounds;
        tracing::info!(
            descriptors = bounds.descriptors,
            connections = bounds.connections,
            unauthenticated = bounds.unauthenticated,
            "limits of connections"
        );
        // Stopped last, because requests in flight need its tasks.
        let mut background = self.background.start();
        let mut serving = pin!(self.server.run());
        let failed = tokio::select! {
            () = stop.cancelled() => None,
            () = serving.as_mut() => Some("the listener"),
            part = background.ended() => Some(part),
        };
        if failed != Some("the listener") {
            // Without the failed task, requests fail: no delay.
            let delay = failed.map_or(self.shutdown_delay, |_| Duration::ZERO);
            tracing::info!(delay = delay.as_secs_f32(), "draining");
            tokio::join!(serving, lifecycle.drain(delay));
        }
        background.stop().await;
        tracing::info!("stopped");
        failed.map_or(Ok(()), |part| Err(Error::Ended(part)))
    }
}
