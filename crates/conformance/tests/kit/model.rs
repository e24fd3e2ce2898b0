//! The model keeps every sentence.

use std::sync::Arc;

use conformance::{Effort, ModelDriver, Report, cases, suite};

use crate::served::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_passes_every_case() {
    let served = Served::start(Arc::new(ModelDriver::new())).await;
    let effort = Effort {
        seed: 7,
        long: false,
    };
    let rows = suite::run(&served.endpoint(), &cases::all(), effort, |row| {
        println!("{row}")
    })
    .await
    .expect("the model answers");
    let report = Report { rows };
    assert!(!report.failed(), "{}", report.summary());
    assert!(report.summary().ends_with("0 failed, 0 skipped"));
    served.stop().await;
}
