//! Tests of drivers that end by themselves during a case.

use std::sync::Arc;

use async_trait::async_trait;
use conformance::report::{Row, Verdict};
use conformance::restart::Restarts;
use conformance::{ModelDriver, RunOptions, Setup, cases, suite};

use crate::served::Served;

/// A driver that has ended after each case.
struct Dying {
    /// Whether it can be started again.
    restarts: bool,
}

#[async_trait]
impl Restarts for Dying {
    async fn restart(&self) -> Result<(), String> {
        Ok(())
    }

    async fn revive(&self) -> Result<Option<String>, String> {
        if self.restarts {
            Ok(Some("it ended with exit status: 3".to_owned()))
        } else {
            Err("the port is in use".to_owned())
        }
    }
}

async fn run(restarts: bool) -> Vec<Row> {
    let served = Served::start(Arc::new(ModelDriver::new())).await;
    let run_options = RunOptions {
        seed: 5,
        long: false,
    };
    let mut cases = cases::all();
    cases.retain(|case| case.id.starts_with("W2-") || case.id.starts_with("W4-"));
    let setup = Setup::new(None, Some(Arc::new(Dying { restarts })));
    let rows = suite::run_in(&served.endpoint(), &setup, &cases, run_options, |_| ()).await;
    served.stop().await;
    rows.expect("the driver answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driver_that_ends_fails_its_case_and_is_restarted() {
    let rows = run(true).await;
    assert!(rows.len() > 2);
    for row in rows {
        let Verdict::Failed(sentence) = &row.verdict else {
            panic!("not failed: {row}");
        };
        assert!(
            sentence.contains("restarted: it ended with exit status: 3"),
            "{row}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cases_after_a_driver_that_does_not_restart_are_skipped() {
    let rows = run(false).await;
    let (first, rest) = rows.split_first().expect("rows");
    let Verdict::Failed(sentence) = &first.verdict else {
        panic!("not failed: {first}");
    };
    assert!(sentence.contains("the port is in use"), "{sentence}");
    for row in rest {
        let Verdict::Skipped(sentence) = &row.verdict else {
            panic!("not skipped: {row}");
        };
        assert!(sentence.ends_with(first.id), "{row}");
    }
}
