//! Runs cases against a driver.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tonic::Status;

use crate::cases::Case;
use crate::check::{Check, Stop};
use crate::client::Client;
use crate::context::{CaseContext, RunOptions, Setup};
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
    on_row: impl FnMut(&Row),
) -> Result<Vec<Row>, Status> {
    run_in(
        endpoint,
        &Setup::new(empty, None),
        cases,
        run_options,
        on_row,
    )
    .await
}

/// As [`run_with`], with everything that a run can offer to its cases. A driver that ends by itself
/// fails the case, and is started again for the next one.
///
/// # Errors
/// If Describe fails.
pub async fn run_in(
    endpoint: &Endpoint,
    setup: &Setup,
    cases: &[Case],
    run_options: RunOptions,
    mut on_row: impl FnMut(&Row),
) -> Result<Vec<Row>, Status> {
    let described = Client::new(endpoint).describe().await?;
    let (mut rows, mut lost) = (Vec::new(), None);
    for case in cases {
        let context = CaseContext::new(endpoint, &described, run_options).of_case(case.id, setup);
        let started = Instant::now();
        let check = match lost {
            Some(lost) => {
                let reason = format!("the driver does not run: see {lost}");
                Err(Stop::Skipped(reason).into())
            }
            None => revived(setup, run_one(case, context, run_options).await).await,
        };
        let check = check.map_err(|ended| match ended {
            Ended::Stopped(stop) => stop,
            Ended::Lost(stop) => {
                lost = Some(case.id);
                stop
            }
        });
        let row = Row::new(case.id, started, check);
        on_row(&row);
        rows.push(row);
    }
    Ok(rows)
}

/// Reason why a case failed or was skipped.
enum Ended {
    Stopped(Stop),
    /// The driver does not run anymore.
    Lost(Stop),
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// Starts a driver that ended during a case, which fails then.
async fn revived(setup: &Setup, check: Check) -> Result<(), Ended> {
    let Some(restarts) = &setup.restarts else {
        return Ok(check?);
    };
    let (ended, lost) = match restarts.revive().await {
        Ok(None) => return Ok(check?),
        Ok(Some(why)) => (format!("the driver ended, and was restarted: {why}"), false),
        Err(why) => (
            format!("the driver ended, and does not restart: {why}"),
            true,
        ),
    };
    let text = match check {
        Err(Stop::Failed(sentence)) => format!("{ended}; {sentence}"),
        _ => ended,
    };
    let stop = Stop::Failed(text);
    Err(if lost {
        Ended::Lost(stop)
    } else {
        Ended::Stopped(stop)
    })
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
    let ended = timeout(case_timeout, (case.run)(context.clone())).await;
    let check = ended.map_err(timed_out).flatten();
    check.map_err(|stop| match (stop, context.last_call()) {
        // A failed call names itself.
        (Stop::Failed(sentence), Some(call)) if !sentence.contains(&call) => {
            Stop::Failed(format!("{sentence} (last request: {call})"))
        }
        (stop, _) => stop,
    })
}
