//! The driver behind the kit, in this process.

use std::sync::Arc;
use std::time::Duration;

use backend_postgres::{Options, PostgresDriver};
use conformance::Endpoint;
use sidecar::listen::Listener;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest wait of these tests for anything, on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// A sidecar that serves; gone when dropped.
pub(crate) struct Sidecar {
    folder: TempDir,
    stop: CancellationToken,
    server: JoinSet<()>,
}

impl Sidecar {
    /// Opens a database and serves it.
    pub(crate) async fn start(dsn: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), dsn).await
    }

    /// As [`Self::start`], where another one served.
    pub(crate) async fn start_in(folder: TempDir, dsn: &str) -> Self {
        let options = Options::from_dsn(dsn).expect("a DSN");
        let opened = tokio::time::timeout(DEADLINE, PostgresDriver::open(options)).await;
        let driver = Arc::new(opened.expect("an answer in time").expect("a store"));
        let address = format!("unix://{}", folder.path().join("s").display());
        let options = sidecar::Options::at(address);
        let listener = Listener::bind(&options).await.expect("a socket");
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        let told = stop.clone();
        server.spawn(async move {
            let served = sidecar::serve(driver, listener, &options, told).await;
            served.expect("served");
        });
        Self {
            folder,
            stop,
            server,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::unix(&self.folder.path().join("s"))
    }

    /// Ends it in order; where it served.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.stop.cancel();
        while let Some(ended) = self.server.join_next().await {
            ended.expect("a sidecar that stops");
        }
        self.folder
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let begin = std::time::Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
