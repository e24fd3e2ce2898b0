//! Runs the conformance suite against this driver behind the kit.

use std::sync::Arc;

use async_trait::async_trait;
use backend_sqlite::SqliteDriver;
use conformance::empty::{EmptyStore, EmptyStores};
use conformance::{Report, RunOptions, Served, cases, suite};
use tempfile::TempDir;

/// Serves a new store in a temporary directory.
async fn serve() -> (Served, TempDir) {
    let folder = tempfile::tempdir().expect("temporary directory");
    let store = backend_sqlite::Options::new(folder.path().join("ark.db"));
    let fatal = Arc::new(|line: &str| panic!("{line}"));
    let driver = SqliteDriver::open(&store, fatal).expect("opened");
    let served = Served::at(&folder.path().join("s"), Arc::new(driver)).await;
    (served.expect("a socket"), folder)
}

/// Creates empty stores for the cases of imports.
struct Empty;

#[async_trait]
impl EmptyStores for Empty {
    async fn serve(&self) -> Result<EmptyStore, String> {
        let served = serve().await;
        Ok(EmptyStore::new(served.0.endpoint(), served))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conformance_case_passes() {
    let (served, _folder) = serve().await;
    let run_options = RunOptions {
        seed: 11,
        long: false,
    };
    let cases = cases::all();
    let empty = Some(Arc::new(Empty) as _);
    let rows = suite::run_with(&served.endpoint(), empty, &cases, run_options, |_| ()).await;
    let rows = rows.expect("the driver answers");
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    assert!(report.summary().ends_with("0 failed, 0 skipped"));
    served.stop().await.expect("served");
}
