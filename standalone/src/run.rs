//! Runs gateway and storage driver together.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use gateway::app::{self, App, Io, Process};
use gateway::audit::Backends;
use gateway::resources::Catalog;
use gateway::store::Phase;
use pki::Pki;

use crate::admission::Admission;
use crate::client::Client;
use crate::control::{self, Mode};
use crate::kubeconfig::{CONTEXT, Kubeconfig};
use crate::{DataDir, Driver, Error, Logs, Sidecar, Socket, Standalone, socket::Link};

/// Timeout of loading all objects.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts everything, prints the ready line, and serves until `stop`. Inputs are validated before
/// anything is written.
///
/// # Errors
/// If a part cannot be started, or ends prematurely.
pub async fn run(
    options: &Standalone,
    logs: &Logs,
    process: Process,
    stop: CancellationToken,
) -> Result<(), Error> {
    let driver = options.driver()?;
    let catalog = options.served().load()?;
    if let Some(path) = &options.kubeconfig {
        Kubeconfig::check(path)?;
    }
    let (listener, address) = bind(options).await?;
    let audit = audit(options).await?;
    let data = DataDir::open(&options.data_dir)?;
    let program = driver.program(&data, logs)?;
    let socket = Socket::prepare(&data)?;
    let endpoint = match driver {
        Driver::Running(endpoint) => *endpoint,
        Driver::Sqlite | Driver::Postgres(_) | Driver::Exec(_) => socket.address().parse()?,
    };
    let link = endpoint.socket().map(|path| Link::create(&data, path));
    let _link = link.transpose()?;
    let pki = Pki::load_or_create(&data.pki(), &options.names())?;
    let kubeconfig = options.kubeconfig.as_deref();
    let kubeconfig = Kubeconfig::new(kubeconfig, &data.kubeconfig(), data.path());
    kubeconfig.check_merge(&pki)?;
    let config = options.server(endpoint, &pki).map_err(app::Error::from)?;
    let example = example(&catalog);
    let admission = Admission::new(options.no_controllers);
    let app = App::builder(config, catalog)
        .with_admission(admission.chain())
        .with_audit(audit);
    let app = app.build(Io::new(listener, process)?)?;
    let client = Client::new(app.stack(), &pki)?;
    admission.connect(client.clone());
    let restarts = restarts(&app);
    let sidecar = match program {
        Some(program) => match stop
            .run_until_cancelled(Box::pin(Sidecar::start(program, socket, restarts)))
            .await
        {
            Some(started) => Some(started?),
            None => return Ok(()),
        },
        None => None,
    };

    let (send_prepared, prepared) = oneshot::channel();
    let announce = Announce {
        options,
        kubeconfig,
        pki,
        address,
        example,
        phase: app.phase(),
        prepared,
    };
    let controllers = Controllers {
        client,
        mode: if options.no_controllers {
            Mode::Definitions
        } else {
            Mode::All
        },
        prepared: send_prepared,
    };
    Box::pin(together(app, sidecar, controllers, announce, stop)).await
}

/// The listener of `--listen`, and its address.
async fn bind(options: &Standalone) -> Result<(TcpListener, SocketAddr), app::Error> {
    let bound = TcpListener::bind(options.listen.address()).await;
    bound
        .and_then(|listener| listener.local_addr().map(|address| (listener, address)))
        .map_err(|source| app::Error::Bind {
            address: options.listen.to_string(),
            source,
            flag: "--listen",
        })
}

/// The counter of restarts of the driver, among the metrics of the gateway.
fn restarts(app: &App) -> Counter {
    let restarts = Counter::default();
    app.stack().metrics.register(|registry| {
        let help = "Restarts of the storage driver by this process, also those that failed";
        registry.register("ark_standalone_driver_restarts", help, restarts.clone());
    });
    restarts
}

/// The policy and the backends of the audit.
async fn audit(options: &Standalone) -> Result<Backends, app::Error> {
    let options = options.audit.options()?;
    Ok(Backends::configure(&options).await?)
}

/// The controllers, which are not running yet.
struct Controllers {
    client: Client,
    mode: Mode,
    prepared: oneshot::Sender<()>,
}

/// Runs gateway, controllers and driver; the driver is stopped after the gateway has drained, and
/// the controllers before.
async fn together(
    app: App,
    sidecar: Option<Sidecar>,
    controllers: Controllers,
    announce: Announce<'_>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (gateway_stop, sidecar_stop) = (stop.child_token(), CancellationToken::new());
    let gateway = async {
        let result = app.run(gateway_stop.clone()).await;
        // Ends the controllers, also if the gateway has ended by itself.
        gateway_stop.cancel();
        sidecar_stop.cancel();
        result.map_err(Error::from)
    };
    let storage = async {
        let Some(sidecar) = sidecar else {
            return Ok(());
        };
        let result = sidecar.run(sidecar_stop.clone()).await;
        // The gateway cannot serve without storage.
        gateway_stop.cancel();
        result
    };
    let announced = async {
        let announced = gateway_stop.run_until_cancelled(announce.when_ready());
        let result = announced.await.unwrap_or(Ok(()));
        if result.is_err() {
            gateway_stop.cancel();
        }
        result
    };
    let Controllers {
        client,
        mode,
        prepared,
    } = controllers;
    let controlled = control::run(client, mode, prepared, gateway_stop.clone());
    let (gateway, storage, announced, ()) = tokio::join!(gateway, storage, announced, controlled);
    storage.and(announced).and(gateway)
}

/// Output for the user once the server is ready.
struct Announce<'a> {
    options: &'a Standalone,
    kubeconfig: Kubeconfig,
    pki: Pki,
    address: SocketAddr,
    /// A resource that is served.
    example: String,
    phase: watch::Receiver<Phase>,
    /// Receives a value when the first objects of the controllers exist.
    prepared: oneshot::Receiver<()>,
}

/// The resource of the command in the ready line: Ark's queries, or else the first one of the
/// catalog.
fn example(catalog: &Catalog) -> String {
    const QUERIES: &str = "queries";
    if catalog.get("ark.mckinsey.com", QUERIES).is_some() {
        return QUERIES.to_owned();
    }
    let first = catalog.resources().find(|it| !it.is_built_in());
    first.map_or_else(|| QUERIES.to_owned(), |resource| resource.id().to_string())
}

impl Announce<'_> {
    /// Waits until the server is ready, writes the kubeconfig and prints the ready line.
    async fn when_ready(mut self) -> Result<(), Error> {
        fn damaged(phase: &Phase) -> bool {
            matches!(phase, Phase::Damaged { .. })
        }
        let settled = self
            .phase
            .wait_for(|phase| phase.ready().is_ok() || damaged(phase));
        let settled = timeout(READY_TIMEOUT, settled).await;
        let settled = settled.is_ok_and(|settled| settled.is_ok());
        if damaged(&self.phase.borrow()) {
            let reason = self.phase.borrow().ready().err().unwrap_or_default();
            return Err(Error::Damaged(reason));
        }
        if !settled {
            let reason = self.phase.borrow().ready().err().unwrap_or_default();
            let seconds = READY_TIMEOUT.as_secs();
            return Err(Error::NotReady { seconds, reason });
        }
        // After an error or the timeout, the server serves without those objects.
        let _ = timeout(READY_TIMEOUT, self.prepared).await;
        let url = match &self.options.advertise_url {
            Some(url) => url.to_string(),
            None => self.options.listen.url(self.address),
        };
        let (kubeconfig, pki) = (self.kubeconfig.clone(), self.pki);
        let (server, target) = (url.clone(), kubeconfig.clone());
        // Waits for the lock of the file.
        let written = spawn_blocking(move || target.write(&server, &pki)).await;
        let is_current = written.map_err(|_| Error::Panicked)??;
        tracing::info!(url, "serving");
        let context = if is_current {
            String::new()
        } else {
            format!(" --context {CONTEXT}")
        };
        // The reader of stdout may have closed it; the server continues.
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(
            stdout,
            "ready: KUBECONFIG={} kubectl{context} get {}",
            word(kubeconfig.path()),
            self.example
        );
        let _ = stdout.flush();
        Ok(())
    }
}

/// A path quoted for a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_paths_are_shell_quoted() {
        assert_eq!(word(Path::new("/data/kubeconfig")), "/data/kubeconfig");
        assert_eq!(word(Path::new("/my data/$x")), "'/my data/$x'");
        assert_eq!(word(Path::new("/it's")), r"'/it'\''s'");
    }
}
