//! Construction of a server, part by part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::background::{Background, Storage};
use super::reload::Reload;
use super::{App, Build, Error, InProcess, Io, Process, Upstream};
use crate::admission::Chain;
use crate::audit::{self, Auditor};
use crate::auth::Certificates;
use crate::authz::Authorizers;
use crate::compute::Pool;
use crate::config::{self, Delegation};
use crate::handlers::Api;
use crate::health::Health;
use crate::resources::Catalog;
use crate::serving::cert_reload::Reloader;
use crate::serving::certificate_metrics::CertificateMetrics;
use crate::serving::limits::{Settings, Shortage};
use crate::serving::{Bounds, Lifecycle, Limits, Server};
use crate::stack::{Inner, Stack};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::telemetry::trace::{Exporter, Tracer};

/// A server under construction. The configuration determines all parts that are not set.
///
/// The driver's connector is the endpoint of the configuration, and the clock is that of Tokio.
#[derive(Debug)]
pub struct Builder {
    config: config::Server,
    catalog: Catalog,
    upstream: Upstream,
    admission: Chain,
    limits: Settings,
    threads: usize,
    audit: audit::Backends,
}

/// State that the request chain and its handlers share.
struct Shared {
    metrics: Metrics,
    certificate_metrics: CertificateMetrics,
    certificates: Reloader,
    limits: Limits,
    lifecycle: Lifecycle,
    upstream: Upstream,
    delegation: Delegation,
    authorizers: Authorizers,
    auditor: Auditor,
    audit_writers: audit::Writers,
    tracer: Tracer,
    exporter: Option<Exporter>,
}

impl Builder {
    pub(super) fn new(config: config::Server, catalog: Catalog) -> Self {
        let limits = Settings {
            reads: config.max_reads,
            writes: config.max_writes,
            ..Settings::default()
        };
        Self {
            config,
            catalog,
            upstream: Upstream::default(),
            admission: Chain::default(),
            limits,
            threads: Pool::usual_threads(),
            audit: audit::Backends::default(),
        }
    }

    /// Puts the server behind a kube-apiserver.
    #[must_use]
    pub fn behind(self, upstream: Upstream) -> Self {
        Self { upstream, ..self }
    }

    /// Adds steps of admission, which run before those of the kube-apiserver.
    #[must_use]
    pub fn with_admission(self, admission: Chain) -> Self {
        Self { admission, ..self }
    }

    /// Records requests.
    #[must_use]
    pub fn with_audit(self, audit: audit::Backends) -> Self {
        Self { audit, ..self }
    }

    /// Replaces the limits of requests, including those of the configuration.
    #[must_use]
    pub fn with_limits(self, limits: Settings) -> Self {
        Self { limits, ..self }
    }

    /// Sets the number of threads for work on large objects.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// A server for the connections of a listener.
    ///
    /// # Errors
    /// If the certificates cannot be used, threads cannot be started, or the address for metrics
    /// cannot be bound.
    pub fn build(self, io: Io) -> Result<App, Error> {
        let (kinds, delay) = (self.config.kinds.clone(), self.config.shutdown_delay);
        let metrics = self.config.metrics.map(bind).transpose()?;
        let mut service = self.service(io.process.build)?;
        let stack = service.stack.clone();
        let reload = Reload::new(kinds, stack.clone(), io.hangup, &stack.metrics);
        service.background.reload = Some(reload);
        let exposition = stack.inner.paths.exposition();
        service.background.metrics = metrics.map(|listener| (listener, exposition));
        Ok(service.listen(io.listener, &io.process, delay))
    }

    /// A server for the connections of a listener whose authorized requests `handlers` serve. It
    /// has no store, and the driver is never called.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub fn build_with<I: Inner>(self, handlers: I, io: Io) -> Result<App<I>, Error> {
        let delay = self.config.shutdown_delay;
        let shared = Shared::new(self.upstream, self.config, self.limits, self.audit)?;
        let service = shared.service(handlers, None);
        Ok(service.listen(io.listener, &io.process, delay))
    }

    /// A server without sockets. It does not reload manifests.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn in_process(self) -> Result<InProcess, Error> {
        self.service(Build::default())
    }

    fn service(self, build: Build) -> Result<InProcess, Error> {
        let (backend, config) = (self.config.backend.clone(), self.config.store);
        let mut shared = Shared::new(self.upstream, self.config, self.limits, self.audit)?;
        let codec = Arc::new(self.catalog.clone());
        let (compute, workers) = Pool::start(self.threads).map_err(Error::Threads)?;
        let (store, task) = Store::new(&backend, codec, config, compute.clone());
        let (upstream, metrics) = (&mut shared.upstream, &shared.metrics);
        let admission = upstream.admission(self.admission, metrics, compute);
        let shutdown = shared.lifecycle.shutdown_initiated.clone();
        let api = Api::new(
            self.catalog,
            store.clone(),
            shared.metrics.clone(),
            shared
                .upstream
                .probes(Health::new(store.phase(), shutdown).showing_fence(store.fenced())),
            shared.limits.clone(),
        )
        .with_build(build)
        .with_admission(admission)
        .with_authorizers(shared.authorizers.clone());
        Ok(shared.service(api, Some(Storage { task, workers })))
    }
}

impl Shared {
    fn new(
        upstream: Upstream,
        config: config::Server,
        limits: Settings,
        audit: audit::Backends,
    ) -> Result<Self, Error> {
        let metrics = Metrics::new();
        let (auditor, audit_writers) = audit.start(&metrics)?;
        let tracing = config.tracing.as_ref();
        let (tracer, exporter) = tracing
            .map(|options| Tracer::new(options, &metrics))
            .unzip();
        metrics.announce_rejections(Shortage::ALL.map(Shortage::reason));
        let certificate_metrics = CertificateMetrics::new(&metrics);
        let certificates = upstream.certificates(config.tls)?;
        Ok(Self {
            certificates: certificates.reporting(certificate_metrics.clone()),
            authorizers: upstream.authorizers(&config.delegation, &metrics),
            metrics,
            certificate_metrics,
            limits: Limits::with(limits),
            lifecycle: Lifecycle::new(),
            upstream,
            delegation: config.delegation,
            auditor,
            audit_writers,
            tracer: tracer.unwrap_or_default(),
            exporter,
        })
    }

    fn service<I: Inner>(self, handlers: I, storage: Option<Storage>) -> InProcess<I> {
        let (upstream, metrics) = (self.upstream, self.metrics);
        let trusted = Certificates::new(self.certificates.trust());
        let stack = Stack {
            authenticators: upstream.authenticators(trusted, &self.delegation, &metrics),
            authorizers: self.authorizers,
            limits: self.limits,
            lifecycle: self.lifecycle,
            metrics,
            auditor: self.auditor,
            tracer: self.tracer,
            inner: handlers,
        };
        let background = Background {
            certificates: self.certificates,
            certificate_metrics: self.certificate_metrics,
            upstream,
            storage,
            audit: self.audit_writers,
            exporter: self.exporter,
            reload: None,
            metrics: None,
        };
        InProcess {
            stack: Arc::new(stack),
            background,
        }
    }
}

impl<I: Inner> InProcess<I> {
    fn listen(self, listener: TcpListener, process: &Process, shutdown_delay: Duration) -> App<I> {
        let server = Server {
            listener,
            tls: self.background.certificates.config(),
            lifecycle: self.stack.lifecycle.clone(),
            service: self.stack,
            bounds: Bounds::of_descriptors(process.descriptors),
            connections: process.connections.clone(),
        };
        App {
            server,
            background: self.background,
            shutdown_delay,
        }
    }
}

/// The listener for metrics.
fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "serving metrics without credentials");
        TcpListener::from_std(listener)
    });
    bound.map_err(|source| Error::Bind {
        address: address.to_string(),
        source,
        flag: "--metrics-bind-address",
    })
}
