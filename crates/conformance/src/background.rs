//! Background writers that load a store during a case.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::check::{Check, Stop};
use crate::context::CaseContext;

/// Timeout of the end of a load.
const WORKLOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Keys per writer, used in turn.
const KEYS: usize = 4;

/// An acknowledged change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) revision: i64,
    /// Greatest revision acknowledged to any writer before the operation was sent.
    pub(crate) known: i64,
}

/// Running writers. Each creates, updates and deletes its own keys, so that every operation must be
/// applied.
pub(crate) struct Workload {
    writers: JoinSet<Check<Vec<Change>>>,
    changes: Arc<AtomicU64>,
    stop: CancellationToken,
}

// === impl Workload ===

impl Workload {
    /// Starts `count` writers, each with its own connection.
    pub(crate) fn start(context: &CaseContext, count: usize) -> Self {
        let known = Arc::new(AtomicI64::new(0));
        let changes = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let mut writers = JoinSet::new();
        for writer in 0..count {
            let (context, known) = (context.clone(), known.clone());
            let (changes, stop) = (changes.clone(), stop.clone());
            writers.spawn(async move {
                let made = write(context, writer, &known, &changes, &stop).await;
                // Stop the others after a failure.
                stop.cancel();
                made
            });
        }
        Self {
            writers,
            changes,
            stop,
        }
    }

    /// Waits until the writers have made about `rounds` changes each, or one has failed;
    /// [`Self::finish_after`] returns the failure.
    pub(crate) async fn reach(&self, rounds: u64) -> Check {
        let expected = rounds * self.writers.len() as u64;
        let reached = async {
            while self.changes.load(Ordering::Acquire) < expected && !self.stop.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let timed_out = |_| {
            Stop::Failed(format!(
                "{expected} writes took more than {WORKLOAD_TIMEOUT:?}"
            ))
        };
        timeout(WORKLOAD_TIMEOUT, reached).await.map_err(timed_out)
    }

    /// Waits until the writers have made about `rounds` changes each, then stops them; returns all
    /// changes.
    pub(crate) async fn finish_after(mut self, rounds: u64) -> Check<Vec<Change>> {
        let expected = rounds * self.writers.len() as u64;
        let mut all = Vec::new();
        let finish = async {
            while self.changes.load(Ordering::Acquire) < expected && !self.writers.is_empty() {
                tokio::select! {
                    // A writer ends early only by a failure.
                    Some(ended) = self.writers.join_next() => all.extend(joined(ended)?),
                    () = tokio::time::sleep(Duration::from_millis(2)) => {}
                }
            }
            self.stop.cancel();
            while let Some(ended) = self.writers.join_next().await {
                all.extend(joined(ended)?);
            }
            Ok(all)
        };
        let timed_out = |_| {
            Stop::Failed(format!(
                "{expected} writes took more than {WORKLOAD_TIMEOUT:?}"
            ))
        };
        timeout(WORKLOAD_TIMEOUT, finish).await.map_err(timed_out)?
    }
}

fn joined(ended: Result<Check<Vec<Change>>, tokio::task::JoinError>) -> Check<Vec<Change>> {
    ended.map_err(|error| Stop::Failed(format!("a writer: {error}")))?
}

async fn write(
    context: CaseContext,
    writer: usize,
    known: &AtomicI64,
    changes: &AtomicU64,
    stop: &CancellationToken,
) -> Check<Vec<Change>> {
    let client = context.connect();
    let mut made = Vec::new();
    // Revision of each key; 0 if it does not exist.
    let mut stored = [0; KEYS];
    let mut round = 0;
    while !stop.is_cancelled() {
        let slot = round % KEYS;
        let path = format!("w{writer}/k{slot}");
        let value = format!("value {round} of writer {writer}");
        let gone = stored[slot] == 0;
        // Offset the keys, so that some exist at any time.
        let delete = !gone && (round / KEYS + slot) % 3 == 2;
        let op = match (gone, delete) {
            (true, _) => context.create(&path, value),
            (false, false) => context.update(&path, value, stored[slot]),
            (false, true) => context.delete(&path, stored[slot]),
        };
        let before = known.load(Ordering::Acquire);
        let revision = client.apply(op).await?.revision;
        known.fetch_max(revision, Ordering::AcqRel);
        changes.fetch_add(1, Ordering::AcqRel);
        stored[slot] = if delete { 0 } else { revision };
        made.push(Change {
            revision,
            known: before,
        });
        round += 1;
    }
    Ok(made)
}
