//! The storage contract, sentence by sentence, against this driver behind the kit.

use std::sync::Arc;

use backend_sqlite::SqliteDriver;
use conformance::{Effort, Endpoint, Report, cases, suite};
use sidecar::listen::Listener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sentence_of_the_contract_holds() {
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
    server.spawn(async move { sidecar::serve(Arc::new(driver), listener, &options, told).await });

    let effort = Effort {
        seed: 11,
        long: false,
    };
    let endpoint = Endpoint::unix(&socket);
    let rows = suite::run(&endpoint, &cases::all(), effort, |_| ()).await;
    let rows = rows.expect("the driver answers");
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    assert!(report.summary().ends_with("0 failed, 0 skipped"));

    stop.cancel();
    while let Some(ended) = server.join_next().await {
        ended.expect("server").expect("served");
    }
}
