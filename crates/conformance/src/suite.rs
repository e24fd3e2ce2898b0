//! Runs cases against a driver.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tonic::Status;

use crate::cases::Case;
use crate::check::{Check, Stop};
use crate::client::Client;
use crate::context::{CaseContext, RunOptions};
use crate::empty::EmptyStores;
use crate::report::Row;
use backend_client::Endpoint;

/// Timeout of a case; ten times as much with `long`.
const CASE_TIMEOUT: Duration = Duration::from_secs(120);

/// As [`run_with`], without empty stores: cases that need them are skipped.
///
/// # Errors
/// If Describe fails.
pub async fn run(
    endpoint: &Endpoint,
    cases: &[Case],
    run_options: RunOptions,
    on_row: impl FnMut(&Row),
) -> Result<Vec<Row>, Status> {
    run_with(endpoint, None, cases, run_options, on_row).await
}

/// Runs the cases in sequence. A case that fails or times out does not prevent the next. The suite
/// must be the only writer meanwhile.
///
/// # Errors
/// If Describe fails.
pub async fn run_with(
    endpoint: &Endpoint,
    empty: Option<Arc<dyn EmptyStores>>,
    cases: &[Case],
    run_options: RunOptions,
    mut on_row: impl FnMut(&Row),
) -> Result<Vec<Row>, Status> {
    let described = Client::new(endpoint).describe().await?;
    let mut rows = Vec::new();
    for case in cases {
        let context = CaseContext::new(endpoint, &described, run_options).with_empty(empty.clone());
        let started = Instant::now();
        let row = Row::new(case.id, started, run_one(case, context, run_options).await);
        on_row(&row);
        rows.push(row);
    }
    Ok(rows)
}

async fn run_one(case: &Case, context: CaseContext, run_options: RunOptions) -> Check {
    if let Some(missing) = case.needs.iter().find(|needed| !context.has(**needed)) {
        let sentence = format!("the driver does not offer {}", missing.as_str_name());
        return Err(Stop::Skipped(sentence));
    }
    let case_timeout = if run_options.long {
        CASE_TIMEOUT * 10
    } else {
        CASE_TIMEOUT
    };
    let timed_out = |_| Stop::Failed(format!("did not end within {} s", case_timeout.as_secs()));
    timeout(case_timeout, (case.run)(context))
        .await
        .map_err(timed_out)?
}
