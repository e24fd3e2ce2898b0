//! A copy of a store that serves meanwhile.
//!
//! 1. the snapshot, in calls of Import that are kept one by one (`more`);
//! 2. the source's log after it, until the target can take what it lacks in about a second;
//! 3. a fence around the source, and the rest of the log up to it;
//! 4. the closing call in the source's epoch: from here on the target serves;
//! 5. both are read at the fence's revision and compared.
//!
//! Until the fourth step a failure lifts the fence, and nothing has happened that a client could
//! see. If the comparison fails, the target is fenced, so that it gives no revision a second time,
//! and then the source is opened again: it is unharmed. A killed copy is carried on from what the
//! target tells of its unfinished import; a complete one is compared again.

mod lag;
mod state;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::{ExportRequest, Header, ImportRequest};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use self::lag::Lag;
use self::state::State;
use super::Pair;
use super::fence::Fence;
use super::pipe::{Kept, Piece, Pipe, call};
use crate::args;
use crate::store::{Refusal, begin};
use crate::tell::{self, Progress};
use crate::verify;

/// How close the target comes before the source is fenced: writes wait about this long.
const CLOSE: Duration = Duration::from_secs(1);
/// How long the source is fenced at most before the target has everything: else the fence is lifted.
const LONGEST: Duration = Duration::from_secs(10);
/// Longest silence of a source that has changes we lack.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a copy begins again because the target had not come to rest.
const ATTEMPTS: u32 = 5;
/// How long the closing call is tried when nobody answers.
const CLOSING: Duration = Duration::from_secs(30);

/// A target being filled.
struct Filling<'a> {
    pair: &'a Pair,
    pipe: Pipe,
    progress: Progress,
    /// The header that all calls of this import give.
    source: Header,
    /// The next call drops what an earlier import left.
    discard: bool,
    /// Records still come.
    snapshot: bool,
    /// Everything up to here is kept.
    revision: i64,
}

/// How the target stands after the closing call failed.
enum Closed {
    Surely,
    No(anyhow::Error),
    /// Nobody answers.
    Unknown(anyhow::Error),
}

/// Moves the store, or with `--no-cut-over` brings the target close.
pub(super) async fn run(mut pair: Pair, arguments: &args::Copy) -> Result<()> {
    for attempt in 1.. {
        let error = match attempt_once(&pair, arguments).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // A call of a run that was killed may have been kept after this one had looked.
        let to = pair.target.describe().await?;
        let overtaken = reason(&error) == Some(Reason::Invalid) && to.import != pair.to.import;
        if !overtaken || attempt == ATTEMPTS {
            return Err(error);
        }
        pair.to = to;
        pair.from = pair.source.describe().await?;
    }
    Ok(())
}

async fn attempt_once(pair: &Pair, arguments: &args::Copy) -> Result<()> {
    let state = State::of(pair, arguments.restart)?;
    let resumed = !matches!(state, State::Fresh { .. });
    let mut fence = Fence::new(pair, arguments.reason.as_deref(), resumed);
    if let State::Moved { revision } = state {
        tell::line("the target has taken over already");
        return finish(pair, revision, fence).await;
    }
    let filled = tokio::select! {
        filled = fill(pair, state, arguments.no_cut_over, &mut fence) => filled,
        interrupted = interrupted() => Err(interrupted),
    };
    let Filled { source, cut } = match filled {
        Ok(Some(filled)) => filled,
        Ok(None) => return Ok(()),
        Err(error) => {
            fence.lift().await;
            return Err(explain(error));
        }
    };
    match close(pair, source, cut).await {
        Closed::Surely => finish(pair, cut, fence).await,
        Closed::No(error) => {
            fence.lift().await;
            Err(error)
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
        tell::line(format_args!(
            "caught up at revision {revision}; nothing is fenced"
        ));
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

impl<'a> Filling<'a> {
    async fn start(pair: &'a Pair, state: State) -> Result<Self> {
        let follow = ExportRequest {
            follow: true,
            ..ExportRequest::default()
        };
        let (request, known, discard) = match state {
            State::Fresh { discard } => (follow, None, discard),
            State::Records { source, last } => {
                let request = ExportRequest {
                    revision: source.revision,
                    after: last,
                    ..follow
                };
                (request, Some(source), false)
            }
            State::Events { source, revision } => {
                let request = ExportRequest {
                    after_revision: revision,
                    ..follow
                };
                (request, Some(source), false)
            }
            State::Moved { .. } => bail!("the target has taken over already"),
        };
        if known.is_some() {
            tell::line("carrying on with an unfinished copy");
        }
        let revision = request.after_revision;
        let export = pair.source.export(request).await?;
        let source = known.unwrap_or_else(|| export.header.clone());
        Ok(Self {
            pair,
            pipe: Pipe::start(export, revision == 0, pair.limit()),
            progress: Progress::new("copied"),
            source,
            discard,
            snapshot: revision == 0,
            revision,
        })
    }

    /// Steps 1 and 2.
    async fn come_close(&mut self) -> Result<()> {
        while self.snapshot {
            self.step().await?;
        }
        self.progress.step("the snapshot is complete");
        let mut head = self.pair.source.head().await?.revision;
        let mut lag = Lag::new(Instant::now(), head, self.revision);
        while !lag.is_within(CLOSE) {
            let look = Instant::now() + CLOSE;
            while self.revision < head && Instant::now() < look {
                self.step().await?;
            }
            head = self.pair.source.head().await?.revision;
            if let Some(told) = lag.look(Instant::now(), head, self.revision) {
                self.progress.step(told);
            }
        }
        Ok(())
    }

    /// Waits for something, and keeps it with what is close behind.
    async fn step(&mut self) -> Result<()> {
        let first = timeout(PATIENCE, self.pipe.next()).await;
        let first = first.context("the source has changes, and does not hand them out")??;
        let mut options = options(&self.source, true);
        options.discard = std::mem::take(&mut self.discard);
        // An empty call would say nothing, unless something is to be dropped.
        let kept = if matches!(first, Piece::Snapshot) && !options.discard {
            Kept::end_of_snapshot()
        } else {
            call(&self.pair.target, options, first, &mut self.pipe).await?
        };
        if kept.snapshot {
            self.snapshot = false;
            self.revision = self.source.revision;
        }
        self.revision = kept.revision.unwrap_or(self.revision);
        self.progress.add(kept.records + kept.events, kept.bytes);
        Ok(())
    }

    /// Keeps everything up to a revision of the source.
    async fn reach(&mut self, revision: i64) -> Result<()> {
        while self.revision < revision {
            self.step().await?;
        }
        Ok(())
    }
}

fn options(source: &Header, more: bool) -> Options {
    Options {
        source: Some(source.clone()),
        keep_epoch: true,
        more,
        discard: false,
    }
}

/// Step 4. A call whose answer was lost is made again: an import that is complete refuses it, and
/// then the target tells.
async fn close(pair: &Pair, source: Header, cut: i64) -> Closed {
    let deadline = Instant::now() + CLOSING;
    loop {
        let done = Done::default();
        let end = ImportRequest {
            part: Some(Part::Done(done)),
        };
        let requests = [begin(options(&source, false)), end];
        let refusal = match pair.target.import(tokio_stream::iter(requests)).await {
            Ok(_) => return Closed::Surely,
            Err(refusal) => refusal,
        };
        if let Ok(described) = pair.target.describe().await {
            let header = described.header.unwrap_or_default();
            let there = header.store_id == source.store_id && header.epoch == source.epoch;
            if described.import.is_none() && there && header.revision >= cut {
                return Closed::Surely;
            }
            let typed = refusal.error.as_ref().map(|error| error.outcome());
            if typed.is_some_and(|outcome| outcome != Outcome::Unknown) {
                return Closed::No(refusal.into());
            }
        }
        if Instant::now() > deadline {
            return Closed::Unknown(refusal.into());
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Step 5.
async fn finish(pair: &Pair, cut: i64, mut fence: Fence<'_>) -> Result<()> {
    let Pair { source, target, .. } = pair;
    let compared = tokio::select! {
        compared = verify::compare(source, target, [cut, cut]) => compared,
        interrupted = interrupted() => Err(interrupted),
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

/// Ends with an error when somebody wants the copy to stop.
async fn interrupted() -> anyhow::Error {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    anyhow!("interrupted; the same command carries on")
}

/// What kind of refusal of a driver an error is.
fn reason(error: &anyhow::Error) -> Option<Reason> {
    error.downcast_ref::<Refusal>().and_then(Refusal::reason)
}

/// Says what to do about history that is gone.
fn explain(error: anyhow::Error) -> anyhow::Error {
    if reason(&error) == Some(Reason::Compacted) {
        return error.context(
            "the source has dropped history that the copy needs: give the command again with \
             --restart",
        );
    }
    error
}
