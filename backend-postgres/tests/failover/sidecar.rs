//! The driver behind the kit, in the test process.

use std::sync::Arc;
use std::time::Duration;

use backend_postgres::{Options, PostgresDriver};
use conformance::{Endpoint, Served};
use tempfile::TempDir;

/// Timeout of these tests, with slack for busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// A serving sidecar; stopped when dropped.
pub(crate) struct Sidecar {
    served: Served,
    folder: TempDir,
}

impl Sidecar {
    /// Opens a database and serves it.
    pub(crate) async fn start(dsn: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), dsn).await
    }

    /// As [`Self::start`], on the socket of an earlier sidecar.
    pub(crate) async fn start_in(folder: TempDir, dsn: &str) -> Self {
        let options = Options::from_dsn(dsn).expect("a DSN");
        let opened = tokio::time::timeout(DEADLINE, PostgresDriver::open(options)).await;
        let driver = Arc::new(opened.expect("an answer in time").expect("a store"));
        let served = Served::at(&folder.path().join("s"), driver).await;
        Self {
            served: served.expect("a socket"),
            folder,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.served.endpoint()
    }

    /// Stops the sidecar in order; returns its directory.
    pub(crate) async fn stop(self) -> TempDir {
        self.served.stop().await.expect("a sidecar that stops");
        self.folder
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let begin = std::time::Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
