//! Copy of a store that keeps serving.
//!
//! 1. Import the snapshot, in calls that are each stored (`more`).
//! 2. Follow the source's log, until the target is about a second behind.
//! 3. Fence the source, and import the rest of the log up to the fence.
//! 4. Make the closing call in the source's epoch: from here on the target serves.
//! 5. Read both stores at the fence's revision and compare them.
//!
//! A failure before step 4 lifts the fence; clients have seen no change. From step 4 on, the module
//! `close` decides whether the fence may be lifted. If the comparison fails, the target is fenced,
//! so that it issues no revision a second time, and then the source, which is intact, is unfenced.
//! A killed copy continues from the progress of the target's unfinished import; a complete copy is
//! compared again.

mod close;
mod filling;
mod lag;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use backend_proto::v1::Header;
use backend_proto::v1::backend_error::Reason;
use tokio::time::{sleep, timeout};

use self::close::{Closed, Closing};
use self::filling::Filling;
use super::Pair;
use super::fence::Fence;
use super::state::State;
use crate::args;
use crate::output;
use crate::stop::Stop;
use crate::store::Rejection;
use crate::verify::{self, Comparison};

/// Maximum time for which the source is fenced before the target has everything; then the fence is
/// lifted.
const MAX_FENCED: Duration = Duration::from_secs(10);
/// Maximum number of restarts because an earlier run's call was still in flight.
const ATTEMPTS: u32 = 5;
/// Retry budget of the closing call while its outcome is unknown.
const CLOSING_BUDGET: Duration = Duration::from_secs(30);
/// Pause between polls of a condition that resolves by itself.
const PAUSE: Duration = Duration::from_millis(500);

/// Remedy if the copy cannot continue.
pub(super) const HISTORY_COMPACTED: &str =
    "the source has dropped history that the copy needs: repeat the command with --restart";

/// Moves the store, or with `--no-fence_revision-over` brings the target close to the source.
pub(super) async fn run(mut pair: Pair, arguments: &args::Copy) -> Result<()> {
    let mut stop = Stop::listen()?;
    for attempt in 1.. {
        let error = match attempt_once(&pair, arguments, &mut stop).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if reason(&error) != Some(Reason::Invalid) || attempt == ATTEMPTS {
            return Err(error);
        }
        // A call of a killed run may have been stored after this run read the state. An unreachable
        // store here is not the error to report.
        let descriptions =
            async { futures_util::try_join!(pair.source.describe(), pair.target.describe()) };
        let descriptions = tokio::select! {
            descriptions = descriptions => descriptions,
            _ = stop.asked() => return Err(error),
        };
        let Ok((from, to)) = descriptions else {
            return Err(error);
        };
        if to.import_progress == pair.to.import_progress {
            return Err(error);
        }
        (pair.from, pair.to) = (from, to);
    }
    Ok(())
}

async fn attempt_once(pair: &Pair, arguments: &args::Copy, stop: &mut Stop) -> Result<()> {
    let state = State::of(pair, arguments.restart);
    let moved = matches!(state, Ok(State::Moved { .. }));
    let mut fence = Fence::new(pair, arguments.reason.as_deref(), moved);
    if let Ok(State::Moved { revision }) = state {
        output::line("the target has taken over already");
        if arguments.accept_moved {
            return Ok(());
        }
        return finish(pair, revision, fence, stop).await;
    }
    let filled = async { fill(pair, state?, arguments.no_cut_over, &mut fence).await };
    let filled = tokio::select! {
        filled = filled => filled,
        interrupted = stop.asked() => Err(interrupted),
    };
    let Filled {
        source,
        fence_revision,
    } = match filled {
        Ok(Some(filled)) => filled,
        Ok(None) => return Ok(()),
        Err(error) => {
            fence.lift().await;
            return Err(explain(error));
        }
    };
    let again = fence.may_be_closing();
    let closing = Closing {
        pair,
        source,
        fence_revision,
        again,
    };
    match closing.run(CLOSING_BUDGET, stop).await {
        Closed::Surely => {
            fence.closed();
            finish(pair, fence_revision, fence, stop).await
        }
        Closed::No(rejection) => {
            fence.lift().await;
            Err(rejection.into())
        }
        Closed::Unknown(error) => Err(error.context(
            "it is unknown whether the target has taken over: the source stays fenced; repeat the \
             command once the target responds",
        )),
    }
}

/// A target with everything up to the fence.
struct Filled {
    source: Header,
    fence_revision: i64,
}

/// Runs steps 1 to 3; returns `None` with `--no-fence_revision-over`, which omits step 3.
async fn fill(
    pair: &Pair,
    state: State,
    no_cut_over: bool,
    fence: &mut Fence<'_>,
) -> Result<Option<Filled>> {
    let mut filling = Filling::start(pair, state).await?;
    filling.come_close().await?;
    let Filling { revision, .. } = filling;
    if no_cut_over {
        filling.progress.finish();
        let fenced = pair.source.describe().await?.fenced;
        let fenced = match fenced.as_str() {
            "" => "nothing is fenced".to_owned(),
            reason => format!("the source is fenced: {reason}"),
        };
        output::line(format_args!("caught up at revision {revision}; {fenced}"));
        return Ok(None);
    }
    let started = Instant::now();
    let fenced = fence.raise().await?;
    ensure!(
        fenced.epoch == filling.source.epoch,
        "the source began a new epoch: use --restart"
    );
    let fence_revision = fenced.revision;
    filling.progress.step(format_args!(
        "the source is fenced at revision {fence_revision}"
    ));
    timeout(MAX_FENCED, filling.reach(fence_revision))
        .await
        .with_context(|| {
            let seconds = MAX_FENCED.as_secs();
            format!(
                "the target did not take the last changes within {seconds} s of the fence; repeat \
             the command to continue"
            )
        })??;
    let milliseconds = started.elapsed().as_millis();
    filling.progress.finish();
    output::line(format_args!(
        "the target has everything, {milliseconds} ms after the fence"
    ));
    Ok(Some(Filled {
        source: filling.source,
        fence_revision,
    }))
}

/// Runs step 5.
async fn finish(
    pair: &Pair,
    fence_revision: i64,
    mut fence: Fence<'_>,
    stop: &mut Stop,
) -> Result<()> {
    let source = &pair.source;
    let compared = tokio::select! {
        compared = compare(pair, fence_revision) => compared,
        interrupted = stop.asked() => Err(interrupted),
    };
    let compared = compared.context(
        "the target serves, but was not compared; the source stays fenced; repeat the command to \
         compare them",
    )?;
    let Some(difference) = compared.difference else {
        output::line(format_args!(
            "moved at revision {fence_revision}; both stores hold the same:"
        ));
        output::line(compared.left);
        output::line(format_args!("{} stays fenced", source.address));
        return Ok(());
    };
    let wrong = anyhow!("the target differs from the source: {difference}");
    if !withdraw(pair, fence_revision).await.unwrap_or(false) {
        return Err(wrong.context(
            "the target has new writes, or cannot be fenced: both stores are left unchanged, decide \
             which one to use",
        ));
    }
    fence.lift().await;
    Err(wrong.context("the target is fenced, so that the source can serve again"))
}

/// Compares both stores, with retries. A target's driver that missed the end of the closing commit,
/// because of a restart or a blocked database, needs a moment to become readable.
async fn compare(pair: &Pair, fence_revision: i64) -> Result<Comparison> {
    let started = Instant::now();
    loop {
        let compared =
            verify::compare(&pair.source, &pair.target, [fence_revision, fence_revision]).await;
        match &compared {
            Err(error)
                if reason(error) == Some(Reason::NotReady)
                    && started.elapsed() < CLOSING_BUDGET =>
            {
                sleep(PAUSE).await;
            }
            _ => return compared,
        }
    }
}

/// Fences a target that must not be used; returns `false` if it has new writes.
async fn withdraw(pair: &Pair, fence_revision: i64) -> Result<bool, Rejection> {
    let target = &pair.target;
    if target.head().await?.revision != fence_revision {
        return Ok(false);
    }
    let reason = format!("not a true copy of {}: do not use", pair.source.address);
    let unused = target.fence(Some(&reason)).await?.revision == fence_revision;
    if !unused {
        target.fence(None).await?;
    }
    Ok(unused)
}

/// Returns the driver's reason in an error.
fn reason(error: &anyhow::Error) -> Option<Reason> {
    error
        .downcast_ref::<Rejection>()
        .and_then(Rejection::reason)
}

/// Adds the remedy to an error about compacted history.
fn explain(error: anyhow::Error) -> anyhow::Error {
    if reason(&error) == Some(Reason::Compacted) {
        return error.context(HISTORY_COMPACTED);
    }
    error
}
