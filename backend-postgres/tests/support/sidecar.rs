//! The driver behind the kit, in this process.

use std::sync::Arc;
use std::time::Duration;

use backend_postgres::{Arguments, Options, PostgresDriver};
use clap::Parser as _;
use conformance::Endpoint;
use sidecar::listen::Listener;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest a sidecar may take to open or to end.
const DEADLINE: Duration = Duration::from_secs(30);

/// A store in a database, served until this is dropped.
pub(crate) struct Sidecar {
    pub(crate) endpoint: Endpoint,
    stop: CancellationToken,
    server: JoinSet<Result<(), sidecar::Error>>,
    _folder: TempDir,
}

/// The flags as the program has them.
#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    database: Arguments,
}

/// Options from flags.
fn options(flags: &[&str]) -> Options {
    let flags = ["backend-postgres"].iter().chain(flags);
    Options::new(&Flags::parse_from(flags).database).expect("good flags")
}

impl Sidecar {
    /// Serves the database that the flags name.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        let opened = timeout(DEADLINE, PostgresDriver::open(options(flags))).await;
        let driver = opened.expect("the driver opens in time").expect("opened");
        let socket = folder.path().join("s");
        let options = sidecar::Options::at(format!("unix://{}", socket.display()));
        let listener = Listener::bind(&options).await.expect("bound");
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        let told = stop.clone();
        server
            .spawn(async move { sidecar::serve(Arc::new(driver), listener, &options, told).await });
        Self {
            endpoint: Endpoint::unix(&socket),
            stop,
            server,
            _folder: folder,
        }
    }

    /// Stops in order.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = async {
            while let Some(ended) = self.server.join_next().await {
                ended.expect("server").expect("served");
            }
        };
        timeout(DEADLINE, ended).await.expect("it ends in time");
    }
}
