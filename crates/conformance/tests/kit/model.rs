//! Tests that the model passes every case, also if its commits are visible before they are
//! acknowledged.

use std::sync::Arc;
use std::time::Duration;

use conformance::{Effort, ModelDriver, Report, cases, suite};
use sidecar::Driver;

use crate::bent::Bent;
use crate::served::{Empty, Served};

async fn passes(wrap: fn(ModelDriver) -> Arc<dyn Driver>) {
    let served = Served::start(wrap(ModelDriver::new())).await;
    let effort = Effort {
        seed: 7,
        long: false,
    };
    let (endpoint, empty) = (served.endpoint(), Some(Arc::new(Empty(wrap)) as _));
    let rows = suite::run_with(&endpoint, empty, &cases::all(), effort, |_| ()).await;
    let rows = rows.expect("the driver answers");
    let report = Report { rows };
    assert!(!report.failed(), "{report}");
    assert!(report.summary().ends_with("0 failed, 0 skipped"));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_passes_every_case() {
    passes(|model| Arc::new(model)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_whose_commits_are_seen_early_passes_every_case() {
    passes(|model| {
        Arc::new(Bent {
            // Like a database over a network: readers may see a commit before its response arrives.
            commits_late: Some(Duration::from_millis(3)),
            ..Bent::new(model)
        })
    })
    .await;
}
