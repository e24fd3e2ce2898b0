//! Wiring of the kit's tasks, and the order of shutdown.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::limits::MAX_MESSAGE_BYTES;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::backend_server::BackendServer;
use backend_proto::v1::{BackendError, Header};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use crate::batch;
use crate::config::Options;
use crate::connection::Closable;
use crate::driver::{Driver, DriverHealth};
use crate::fanout::Fanout;
use crate::gate::Gate;
use crate::health;
use crate::listen::{self, Listener, is_permitted};
use crate::log_follower::LogFollower;
use crate::metrics::Metrics;
use crate::parent::Parent;
use crate::refuse::closing;
use crate::retention::Retention;
use crate::service::{LastClient, LogRateLimit, Service};
use crate::streams::{STREAMS, Streams};

/// Shutdown timeouts: `DRAIN_TIMEOUT` for calls in progress, then `FINISH_TIMEOUT` for background tasks. The sum is
/// below the 30 s that a kubelet waits before SIGKILL.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between attempts to read the store at start.
const START_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// HTTP/2 flow-control window per stream and per connection: bytes in flight to a reader.
const WINDOW: u32 = 2 << 20;

/// Reason why a driver does not serve, or stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listening address is unusable.
    #[error(transparent)]
    Listen(#[from] listen::Error),
    /// The driver failed to open its store.
    #[error("{0}")]
    Open(String),
    /// The store is unreadable.
    #[error("{}", .0.message)]
    Driver(BackendError),
    /// Signals, standard input or the metrics listener are unusable.
    #[error("{what}: {source}")]
    System {
        /// Failed operation.
        what: String,
        /// Cause of the failure.
        source: std::io::Error,
    },
    /// The listener failed.
    #[error("cannot serve: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// The description of the protocol is unusable.
    #[error("cannot serve the description of the protocol: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A task of the kit or of the driver panicked.
    #[error("a driver task panicked: {0}; restart the driver")]
    Fault(#[from] tokio::task::JoinError),
}

/// Serves `driver` until SIGINT or SIGTERM, or until standard input is closed if the options say
/// so; then drains, closes the driver and returns.
///
/// # Errors
/// A message for operators.
pub async fn run(driver: Arc<dyn Driver>, options: &Options) -> Result<(), Error> {
    let opened = std::future::ready(Ok::<_, std::convert::Infallible>(driver));
    run_once_open(opened, options).await
}

/// As [`run`], for a driver that opens slowly, such as one that waits for its database. A shutdown
/// in the meantime drops the opening future.
///
/// # Errors
/// As [`run`], or the driver's error of opening.
pub async fn run_once_open<E: std::fmt::Display>(
    opening: impl Future<Output = Result<Arc<dyn Driver>, E>>,
    options: &Options,
) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let signals = StopSignals::new(options)?;
    let shutdown_signal = async {
        let reason = signals.first().await;
        tracing::info!(reason, "stopping");
        stop.cancel();
        // Only the serving branch ends the select below.
        std::future::pending::<()>().await;
    };
    let serving = async {
        let opened = stop.run_until_cancelled(opening).await;
        let Some(opened) = opened else { return Ok(()) };
        let driver = opened.map_err(|error| Error::Open(error.to_string()))?;
        match Listener::bind(options).await {
            Ok(listener) => serve(driver, listener, options, stop.clone()).await,
            Err(error) => {
                driver.close().await;
                Err(error.into())
            }
        }
    };
    tokio::select! {
        result = serving => result,
        () = shutdown_signal => Ok(()),
    }
}

/// Sources of a shutdown request.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    parent: Option<Parent>,
}

impl StopSignals {
    fn new(options: &Options) -> Result<Self, Error> {
        let on = |kind| {
            signal(kind).map_err(|source| Error::System {
                what: "cannot wait for signals".to_owned(),
                source,
            })
        };
        let parent = options.exit_on_stdin_close.then(Parent::on_stdin);
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            parent: parent.transpose().map_err(|source| Error::System {
                what: "--exit-on-stdin-close needs a pipe as standard input".to_owned(),
                source,
            })?,
        })
    }

    /// Waits for the first request and returns its name.
    async fn first(mut self) -> &'static str {
        let parent = async {
            match self.parent {
                Some(parent) => parent.gone().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            () = parent => "standard input was closed",
        }
    }
}

/// Serves `driver` on `listener` until `stop` is cancelled, then drains and closes it.
///
/// # Errors
/// As [`run`]; the driver is closed in that case too.
pub async fn serve(
    driver: Arc<dyn Driver>,
    listener: Listener,
    options: &Options,
    stop: CancellationToken,
) -> Result<(), Error> {
    let result = serve_open(driver.clone(), listener, options, stop).await;
    driver.close().await;
    result
}

async fn serve_open(
    driver: Arc<dyn Driver>,
    listener: Listener,
    options: &Options,
    stop: CancellationToken,
) -> Result<(), Error> {
    let tasks = TaskTracker::new();
    let (service, health, mut background) = start(driver, options, &tasks, &stop).await?;
    let service = BackendServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = Server::builder()
        .max_concurrent_streams(u32::try_from(STREAMS).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)));
    let routes = Routes::new(service)
        .add_service(health)
        .add_service(reflection()?);
    tracing::info!(listen = options.listen, "serving");
    let served = tokio::select! {
        served = accept(server, routes, listener, options, &stop) => served,
        fault = fault(&mut background) => Err(fault.into()),
    };
    // Cancel here as well: serving may have ended by an error.
    stop.cancel();
    tasks.close();
    // The service held the last queue; the batcher ends after the requests it holds.
    let finish = async {
        tasks.wait().await;
        let mut faults = Ok(());
        while let Some(ended) = background.join_next().await {
            faults = faults.and(ended);
        }
        faults
    };
    let finished = timeout(FINISH_TIMEOUT, finish).await.unwrap_or_else(|_| {
        tracing::warn!("streams or background tasks did not end before the shutdown timeout");
        Ok(())
    });
    served.and(finished.map_err(Error::from))
}

/// Describes the services to tools such as grpcurl, which need no `.proto` file then.
fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>, Error> {
    let services = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(backend_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(services)
}

/// Waits until a background task panics. Without this, its clients would wait forever.
async fn fault(background: &mut JoinSet<()>) -> JoinError {
    loop {
        match background.join_next().await {
            Some(Err(fault)) => return fault,
            // Ended by shutdown.
            Some(Ok(())) => {}
            None => std::future::pending().await,
        }
    }
}

/// Starts everything but the listener: the service, the health service for probes, and the
/// background tasks.
async fn start(
    driver: Arc<dyn Driver>,
    options: &Options,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(Service, HealthServer<impl Health>, JoinSet<()>), Error> {
    let description = driver.describe();
    let gate = Gate::default();
    let header = read_store(driver.as_ref(), &gate, stop).await?;
    let fanout = Arc::new(Fanout::new(header));
    let metrics = Metrics::new();
    let log_follower = LogFollower::new(fanout.clone());
    let (queue, batcher) = batch::new(description.limits);
    let (health_sender, health) = watch::channel(DriverHealth::Ready);
    let (reporter, probes) = tonic_health::server::health_reporter();
    let retention = Retention {
        keep: options.keep(),
        keep_events: options.keep_events,
    };

    let mut background = JoinSet::new();
    if let Some(address) = options.metrics_listen {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| Error::System {
            what: format!("--metrics-listen {address}"),
            source,
        })?;
        background.spawn(metrics.clone().serve(listener, stop.clone()));
        let measure = metrics
            .clone()
            .measure(driver.clone(), gate.clone(), stop.clone());
        background.spawn(measure);
    }
    background.spawn(health::run(
        driver.clone(),
        gate.clone(),
        health_sender,
        reporter,
        metrics.clone(),
        stop.clone(),
    ));
    background.spawn(retention.run(driver.clone(), fanout.clone(), health.clone(), stop.clone()));
    if description.multi_writer {
        let follow = log_follower
            .clone()
            .follow(driver.clone(), metrics.clone(), stop.clone());
        background.spawn(follow);
    }
    background.spawn(batcher.run(driver.clone(), log_follower.clone(), metrics.clone()));
    let service = Service {
        failed_writes: LogRateLimit::default(),
        last_client: LastClient::default(),
        driver,
        description,
        queue,
        fanout,
        gate,
        log_follower,
        health,
        metrics,
        streams: Streams::new(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    Ok((service, probes, background))
}

/// Reads the header and the import state, with retries until they are reachable: a short outage of
/// the store must not end the process.
async fn read_store(
    driver: &dyn Driver,
    gate: &Gate,
    stop: &CancellationToken,
) -> Result<Header, Error> {
    let mut logged = false;
    loop {
        let looked = async {
            gate.refresh(driver).await?;
            driver.header().await
        };
        match looked.await {
            Err(error) if error.reason() == Reason::NotReady => {
                if !logged {
                    tracing::warn!(error = error.message, "cannot read the store, retrying");
                }
                logged = true;
            }
            looked => return looked.map_err(Error::Driver),
        }
        tokio::select! {
            () = stop.cancelled() => return Err(Error::Driver(closing())),
            () = sleep(START_RETRY_INTERVAL) => {}
        }
    }
}

/// Accepts connections until shutdown.
async fn accept(
    mut server: Server,
    routes: Routes,
    listener: Listener,
    options: &Options,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let shutdown_signal = stop.clone().cancelled_owned();
    match listener {
        Listener::Unix(listener, path) => {
            let allowed = options.allow_uid;
            let incoming = UnixListenerStream::new(listener).filter(move |accepted| {
                let enters = accepted
                    .as_ref()
                    .map_or(true, |stream| is_permitted(stream, allowed));
                if !enters {
                    tracing::warn!("rejected a connection to the unix socket: user is not allowed");
                }
                enters
            });
            let incoming = incoming.map(|accepted| accepted.map(Closable::new));
            let serving = server
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, shutdown_signal);
            let served = drained(serving, stop).await;
            // The next process may have replaced the file already, so a failure is ignored.
            let _ = std::fs::remove_file(path);
            served
        }
        Listener::Tcp(listener, tls) => {
            let incoming = TcpListenerStream::new(listener);
            let incoming = incoming.map(|accepted| accepted.map(Closable::new));
            let serving = server
                .tls_config(*tls)?
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, shutdown_signal);
            drained(serving, stop).await
        }
    }
}

/// Serves until shutdown, then waits for calls in progress, at most [`DRAIN_TIMEOUT`].
async fn drained(
    serving: impl Future<Output = Result<(), tonic::transport::Error>>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        result = serving => result.map_err(Error::from),
        () = deadline => {
            tracing::warn!("connections did not end before the drain timeout");
            Ok(())
        }
    }
}
