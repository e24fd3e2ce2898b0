//! Tests that the model passes every case, also if its commits are visible before they are
//! acknowledged.

use std::sync::Arc;
use std::time::Duration;

use conformance::{ModelDriver, Report, RunOptions, cases, suite};
use sidecar::Driver;

use crate::faulty_driver::FaultyDriver;
use crate::served::{Empty, Served};

async fn passes(wrap: fn(ModelDriver) -> Arc<dyn Driver>) {
    let served = Served::start(wrap(ModelDriver::new())).await;
    let run_options = RunOptions {
        seed: 7,
        long: false,
    };
    let (endpoint, empty) = (served.endpoint(), Some(Arc::new(Empty(wrap)) as _));
    let rows = suite::run_with(&endpoint, empty, &cases::all(), run_options, |_| ()).await;
    let rows = rows.expect("the driver answers");
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    assert!(report.summary().ends_with("0 failed, 0 skipped"));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_passes_every_case() {
    passes(|model| Arc::new(model)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driver_with_early_visible_commits_passes_every_case() {
    passes(|model| {
        Arc::new(FaultyDriver {
            // Like a database over a network: readers may see a commit before its response arrives.
            commit_delay: Some(Duration::from_millis(3)),
            ..FaultyDriver::new(model)
        })
    })
    .await;
}
