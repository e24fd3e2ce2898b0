//! The driver behind the kit, in the test process.

use std::sync::Arc;
use std::time::Duration;

use backend_postgres::{Arguments, Options, PostgresDriver};
use clap::Parser as _;
use conformance::{Endpoint, Served};
use tempfile::TempDir;
use tokio::time::timeout;

/// Timeout of opening or stopping a sidecar.
const DEADLINE: Duration = Duration::from_secs(30);

/// A store in a database, served until dropped.
pub(crate) struct Sidecar {
    pub(crate) endpoint: Endpoint,
    served: Served,
    _folder: TempDir,
}

/// The flags of the driver process.
#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    database: Arguments,
}

/// Parses flags into options.
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
        let served = Served::at(&socket, Arc::new(driver)).await;
        Self {
            endpoint: Endpoint::unix(&socket),
            served: served.expect("a socket"),
            _folder: folder,
        }
    }

    /// Stops the sidecar in order.
    pub(crate) async fn stop(self) {
        let ended = timeout(DEADLINE, self.served.stop()).await;
        ended.expect("it ends in time").expect("served");
    }
}
