//! The storage contract, sentence by sentence, against this driver behind the kit.

use std::sync::Arc;

use async_trait::async_trait;
use backend_sqlite::SqliteDriver;
use conformance::empty::{EmptyStore, EmptyStores};
use conformance::{Effort, Endpoint, Report, cases, suite};
use sidecar::listen::Listener;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A store in a directory of its own, behind the kit.
struct Served {
    endpoint: Endpoint,
    stop: CancellationToken,
    server: JoinSet<Result<(), sidecar::Error>>,
    _folder: TempDir,
}

impl Served {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        let store = backend_sqlite::Options::new(folder.path().join("ark.db"));
        let fatal = Arc::new(|line: &str| panic!("{line}"));
        let driver = SqliteDriver::open(&store, fatal).expect("opened");
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
}

/// Empty stores for the sentences about imports.
struct Empty;

#[async_trait]
impl EmptyStores for Empty {
    async fn serve(&self) -> Result<EmptyStore, String> {
        let served = Served::start().await;
        Ok(EmptyStore::new(served.endpoint.clone(), served))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sentence_of_the_contract_holds() {
    let mut served = Served::start().await;
    let effort = Effort {
        seed: 11,
        long: false,
    };
    let cases = cases::all();
    let empty = Some(Arc::new(Empty) as _);
    let rows = suite::run_with(&served.endpoint, empty, &cases, effort, |_| ()).await;
    let rows = rows.expect("the driver answers");
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    assert!(report.summary().ends_with("0 failed, 0 skipped"));

    served.stop.cancel();
    while let Some(ended) = served.server.join_next().await {
        ended.expect("server").expect("served");
    }
}
