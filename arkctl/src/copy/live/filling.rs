//! Steps 1 and 2, and the end of step 3: filling the target.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use backend_proto::v1::import_request::Options;
use backend_proto::v1::{ExportRequest, Header};
use tokio::time::timeout;

use super::lag::Lag;
use crate::copy::Pair;
use crate::copy::pipe::{Kept, Piece, Pipe, call};
use crate::copy::state::State;
use crate::output::{self, Progress};

/// Maximum lag of the target before the source is fenced, which is about how long writes are
/// rejected.
const MAX_LAG: Duration = Duration::from_secs(1);
/// Timeout of the next message from a source that has changes the target lacks.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(60);

/// A target being filled.
pub(super) struct Filling<'a> {
    pair: &'a Pair,
    pipe: Pipe,
    pub(super) progress: Progress,
    /// Header of the source, the same in all calls of an import.
    pub(super) source: Header,
    /// Whether the next call must drop the content of an earlier import.
    discard: bool,
    /// Whether the snapshot is incomplete.
    snapshot: bool,
    /// Revision up to which everything is stored in the target.
    pub(super) revision: i64,
}

impl<'a> Filling<'a> {
    pub(super) async fn start(pair: &'a Pair, state: State) -> Result<Self> {
        let follow = ExportRequest {
            follow: true,
            ..ExportRequest::default()
        };
        // Records imported by an earlier run do not count for this run's progress.
        let mut brought = 0;
        let (request, known, discard) = match state {
            State::Fresh { discard } => (follow, None, discard),
            State::Records {
                source,
                last,
                records,
            } => {
                brought = records;
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
            output::line("continuing an unfinished copy");
        }
        let revision = request.after_revision;
        let export = pair.source.export(request).await?;
        let source = known.unwrap_or_else(|| export.header.clone());
        let to_come = export.about_records.map(|all| all.saturating_sub(brought));
        Ok(Self {
            pair,
            pipe: Pipe::start(export, revision == 0, pair.limit()),
            progress: Progress::new("copied", to_come),
            source,
            discard,
            snapshot: revision == 0,
            revision,
        })
    }

    /// Runs steps 1 and 2.
    pub(super) async fn come_close(&mut self) -> Result<()> {
        while self.snapshot {
            self.step().await?;
        }
        self.progress.has_no_end();
        self.progress.step("the snapshot is complete");
        let mut head = self.pair.source.head().await?.revision;
        let mut lag = Lag::new(Instant::now(), head, self.revision);
        while !lag.is_within(MAX_LAG) {
            let sample = Instant::now() + MAX_LAG;
            while self.revision < head && Instant::now() < sample {
                self.step().await?;
            }
            head = self.pair.source.head().await?.revision;
            if let Some(report) = lag.sample(Instant::now(), head, self.revision) {
                self.progress.step(report);
            }
        }
        Ok(())
    }

    /// Waits for the next message, and imports it with those that follow closely.
    async fn step(&mut self) -> Result<()> {
        let first = timeout(SOURCE_TIMEOUT, self.pipe.next()).await;
        let first =
            first.context("the source has changes, but its export does not return them")??;
        let mut options = options(&self.source, true);
        options.discard = std::mem::take(&mut self.discard);
        // An empty call is only needed to drop earlier content.
        let stored = if matches!(first, Piece::Snapshot) && !options.discard {
            Kept::end_of_snapshot()
        } else {
            call(&self.pair.target, options, first, &mut self.pipe).await?
        };
        if stored.snapshot {
            self.snapshot = false;
            self.revision = self.source.revision;
        }
        self.revision = stored.revision.unwrap_or(self.revision);
        self.progress
            .add(stored.records + stored.events, stored.bytes);
        Ok(())
    }

    /// Imports everything up to a revision of the source.
    pub(super) async fn reach(&mut self, revision: i64) -> Result<()> {
        while self.revision < revision {
            self.step().await?;
        }
        Ok(())
    }
}

/// Returns the import options of every call.
pub(super) fn options(source: &Header, more: bool) -> Options {
    Options {
        source: Some(source.clone()),
        keep_epoch: true,
        more,
        discard: false,
    }
}
