//! A copy of a store that serves meanwhile.
//!
//! 1. the snapshot, in calls of Import that are kept one by one (`more`);
//! 2. the source's log after it, until the target can take what it lacks in about a second;
//! 3. a fence around the source, and the rest of the log up to it;
//! 4. the closing call in the source's epoch: from here on the target serves;
//! 5. both are read at the fence's revision and compared.
//!
//! Until the fourth step a failure lifts the fence, and nothing has happened that a client could
//! see. Whether it may be lifted after the fourth has begun, the module `close` decides. If the comparison fails, the target is fenced, so that it gives no revision a second time,
//! and then the source is opened again: it is unharmed. A killed copy is carried on from what the
//! target tells of its unfinished import; a complete one is compared again.

mod close;
mod filling;
mod lag;
mod stop;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use backend_proto::v1::Header;
use backend_proto::v1::backend_error::Reason;
use tokio::time::{sleep, timeout};

use self::close::{Closed, Closing};
use self::filling::Filling;
use self::stop::Stop;
use super::Pair;
use super::fence::Fence;
use super::state::State;
use crate::args;
use crate::store::Refusal;
use crate::tell;
use crate::verify::{self, Comparison};

/// How long the source is fenced at most before the target has everything: else the fence is lifted.
const LONGEST: Duration = Duration::from_secs(10);
/// How often a copy begins again because the target had not come to rest.
const ATTEMPTS: u32 = 5;
/// How long the closing call is tried while it is not known what came of it.
const CLOSING: Duration = Duration::from_secs(30);
/// Between two attempts at something that ends by itself.
const PAUSE: Duration = Duration::from_millis(500);

/// What to do when the copy cannot be carried on.
pub(super) const GONE: &str =
    "the source has dropped history that the copy needs: give the command again with --restart";

/// Moves the store, or with `--no-cut-over` brings the target close.
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
        // A call of a run that was killed may have been kept after this one had looked. Whoever does
        // not answer now is not why the copy failed.
        let looks =
            async { futures_util::try_join!(pair.source.describe(), pair.target.describe()) };
        let looks = tokio::select! {
            looks = looks => looks,
            _ = stop.asked() => return Err(error),
        };
        let Ok((from, to)) = looks else {
            return Err(error);
        };
        if to.import == pair.to.import {
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
        tell::line("the target has taken over already");
        return finish(pair, revision, fence, stop).await;
    }
    let filled = async { fill(pair, state?, arguments.no_cut_over, &mut fence).await };
    let filled = tokio::select! {
        filled = filled => filled,
        interrupted = stop.asked() => Err(interrupted),
    };
    let Filled { source, cut } = match filled {
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
        cut,
        again,
    };
    match closing.run(CLOSING, stop).await {
        Closed::Surely => {
            fence.closed();
            finish(pair, cut, fence, stop).await
        }
        Closed::No(refusal) => {
            fence.lift().await;
            Err(refusal.into())
        }
        Closed::Unknown(error) => Err(error.context(
            "whether the target has taken over cannot be told: the source stays fenced; give the \
             same command again once the target answers",
        )),
    }
}

/// A target that holds everything up to the fence.
struct Filled {
    source: Header,
    cut: i64,
}

/// Steps 1 to 3; `None` if there is to be no third.
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
        tell::line(format_args!("caught up at revision {revision}; {fenced}"));
        return Ok(None);
    }
    let begun = Instant::now();
    let fenced = fence.raise().await?;
    ensure!(
        fenced.epoch == filling.source.epoch,
        "the source began a new epoch: use --restart"
    );
    let cut = fenced.revision;
    filling
        .progress
        .step(format_args!("the source is fenced at revision {cut}"));
    timeout(LONGEST, filling.reach(cut)).await.with_context(|| {
        let seconds = LONGEST.as_secs();
        format!(
            "the target did not take the last changes within {seconds} s of the fence; the same \
             command carries on"
        )
    })??;
    let milliseconds = begun.elapsed().as_millis();
    filling.progress.finish();
    tell::line(format_args!(
        "the target has everything, {milliseconds} ms after the fence"
    ));
    Ok(Some(Filled {
        source: filling.source,
        cut,
    }))
}

/// Step 5.
async fn finish(pair: &Pair, cut: i64, mut fence: Fence<'_>, stop: &mut Stop) -> Result<()> {
    let source = &pair.source;
    let compared = tokio::select! {
        compared = compare(pair, cut) => compared,
        interrupted = stop.asked() => Err(interrupted),
    };
    let compared = compared.context(
        "the target serves, but was not compared; the source stays fenced. Give the same command \
         again to compare",
    )?;
    let Some(difference) = compared.difference else {
        tell::line(format_args!(
            "moved at revision {cut}; both stores hold the same:"
        ));
        tell::line(compared.left);
        tell::line(format_args!("{} stays fenced", source.address));
        return Ok(());
    };
    let wrong = anyhow!("the target differs from the source: {difference}");
    if !withdraw(pair, cut).await.unwrap_or(false) {
        return Err(wrong.context(
            "the target was used already, or cannot be fenced: both stay as they are, for a person \
             to decide",
        ));
    }
    fence.lift().await;
    Err(wrong.context("the target is fenced, so that the source can serve again"))
}

/// Reads both stores. A target's driver that did not see the end of the closing commit, because it
/// was restarted or the database kept it waiting, takes a moment to find out that it may be read.
async fn compare(pair: &Pair, cut: i64) -> Result<Comparison> {
    let begun = Instant::now();
    loop {
        let compared = verify::compare(&pair.source, &pair.target, [cut, cut]).await;
        match &compared {
            Err(error) if reason(error) == Some(Reason::NotReady) && begun.elapsed() < CLOSING => {
                sleep(PAUSE).await;
            }
            _ => return compared,
        }
    }
}

/// Fences a target that is not to be used; `false` if somebody has used it.
async fn withdraw(pair: &Pair, cut: i64) -> Result<bool, Refusal> {
    let target = &pair.target;
    if target.head().await?.revision != cut {
        return Ok(false);
    }
    let reason = format!("not a true copy of {}: do not use", pair.source.address);
    let unused = target.fence(Some(&reason)).await?.revision == cut;
    if !unused {
        target.fence(None).await?;
    }
    Ok(unused)
}

/// What kind of refusal of a driver an error is.
fn reason(error: &anyhow::Error) -> Option<Reason> {
    error.downcast_ref::<Refusal>().and_then(Refusal::reason)
}

/// Says what to do about history that is gone.
fn explain(error: anyhow::Error) -> anyhow::Error {
    if reason(&error) == Some(Reason::Compacted) {
        return error.context(GONE);
    }
    error
}
