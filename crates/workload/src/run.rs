//! A run: starts the clients, owns their tasks, and ends them in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::call::Call;
use crate::change::{Listing, Revision};
use crate::client::{Client, Servers};
use crate::history::{History, Segment};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::reader::Reader;
use crate::shared::{Rejection, Shared};
use crate::verdict::{Verdict, judge};
use crate::watcher::Watcher;
use crate::writer::Writer;

/// Acknowledged revisions queued for new watchers; a full queue blocks writers.
const STARTS: usize = 64;
/// Interval of polls in the waits of this module.
const POLL: Duration = Duration::from_millis(2);

/// A running workload. Dropping it aborts its clients.
pub struct Workload {
    shared: Arc<Shared>,
    options: Options,
    writers: JoinSet<()>,
    watchers: JoinSet<()>,
    positions: Positions,
}

/// Reason why a run did not reach its verdict.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A phase did not end in time.
    #[error("{what} within {limit:?}; errors so far: {errors:?}")]
    Timeout {
        /// What did not happen.
        what: String,
        /// Deadline.
        limit: Duration,
        /// Errors of clients, by call and reason.
        errors: BTreeMap<String, u64>,
    },
    /// The first list failed, before any fault was injected.
    #[error("the first list failed: {0}")]
    FirstList(String),
    /// A client panicked.
    #[error("a client panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Names and positions of the watchers.
type Positions = Arc<Mutex<Vec<(String, Arc<AtomicU64>)>>>;

// === impl Workload ===

impl Workload {
    /// Lists, and starts all clients.
    ///
    /// # Errors
    /// If the list fails.
    pub async fn start(servers: Arc<dyn Servers>, options: Options) -> Result<Self, RunError> {
        let (_, client) = servers.connect(0).await;
        let baseline = client.list().await;
        let baseline = baseline.map_err(|error| RunError::FirstList(error.to_string()))?;
        let baseline = Arc::new(baseline);
        let ledger = Ledger::begin(Arc::clone(&baseline));
        let shared = Arc::new(Shared::new(servers, ledger, &options));
        let mut workload = Self {
            shared,
            writers: JoinSet::new(),
            watchers: JoinSet::new(),
            positions: Positions::default(),
            options,
        };
        workload.spawn(&baseline);
        Ok(workload)
    }

    fn spawn(&mut self, baseline: &Arc<Listing>) {
        let shared = &self.shared;
        for number in 0..self.options.watchers {
            let segment = Segment::listed(Arc::clone(baseline));
            let watcher = Watcher::new(shared, number, format!("watcher {number}"), segment);
            self.positions
                .lock()
                .push((format!("watcher {number}"), watcher.published_position()));
            self.watchers.spawn(watcher.run());
        }
        let starts = self.options.from_every_revision.then(|| {
            let (starts, inbox) = mpsc::channel(STARTS);
            let (shared, positions) = (Arc::clone(shared), Arc::clone(&self.positions));
            self.watchers.spawn(follow_all(inbox, shared, positions));
            starts
        });
        for (number, script) in self.options.writers.iter().enumerate() {
            let (script, pace) = (script.clone(), self.options.pace);
            let writer = Writer::new(shared, number, script, pace, starts.clone());
            self.writers.spawn(writer.run());
        }
        if let Some(pause) = self.options.readers {
            for number in 0..shared.servers.count() {
                self.writers.spawn(Reader::new(shared, number, pause).run());
            }
        }
    }

    /// The ledger of the run.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Number of acknowledged writes so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    /// Newest revision that any client has observed.
    #[must_use]
    pub fn observed(&self) -> Revision {
        self.shared.ledger.newest()
    }

    /// Newest revision that any writer was acknowledged.
    #[must_use]
    pub fn newest_acknowledged(&self) -> Revision {
        Revision::new(self.shared.newest_acknowledged.load(Ordering::Acquire))
    }

    /// Position of the slowest watcher.
    #[must_use]
    pub fn slowest_position(&self) -> Revision {
        let positions = self.positions.lock();
        let all = positions.iter().map(|(_, at)| at.load(Ordering::Acquire));
        Revision::new(all.min().unwrap_or_default())
    }

    /// Errors of clients so far, by call and reason.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.shared.errors()
    }

    /// Errors of clients since a time; of a very long run only the last ones.
    #[must_use]
    pub fn rejections(&self, since: Instant) -> Vec<Rejection> {
        self.shared.rejections(since)
    }

    /// The longest duration of a write, successful or not.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        Duration::from_micros(self.shared.slowest.load(Ordering::Acquire))
    }

    /// Holds clients after their next error, until [`Self::release`].
    pub fn hold(&self) {
        self.shared.open.send_replace(false);
    }

    /// Lets held clients continue.
    pub fn release(&self) {
        self.shared.open.send_replace(true);
    }

    /// Waits until `more` further writes are acknowledged.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub async fn progress(&self, more: u64, limit: Duration) -> Result<(), RunError> {
        let due = self.acknowledged() + more;
        let what = format!("{more} writes were not acknowledged");
        self.until(&what, limit, || self.acknowledged() >= due)
            .await
    }

    /// Waits until every writer has settled what it had sent when this was called.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub async fn settle(&self, limit: Duration) -> Result<(), RunError> {
        let settled = &self.shared.settled;
        let count = |writer: &AtomicU64| writer.load(Ordering::Acquire);
        let before: Vec<u64> = settled.iter().map(count).collect();
        let passed = |(writer, before): (&AtomicU64, &u64)| {
            let now = count(writer);
            now > *before || now == u64::MAX
        };
        let all = || settled.iter().zip(&before).all(passed);
        self.until("open writes were not settled", limit, all).await
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// If that takes longer than `limit`; `what` says what did not happen.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn() -> bool,
    ) -> Result<(), RunError> {
        let reached = async {
            while !holds() {
                sleep(POLL).await;
            }
        };
        let timed_out = |_| self.timed_out(what, limit);
        timeout(limit, reached).await.map_err(timed_out)
    }

    fn timed_out(&self, what: &str, limit: Duration) -> RunError {
        RunError::Timeout {
            what: what.to_owned(),
            limit,
            errors: self.errors(),
        }
    }

    /// Stops writers and readers, after open writes are settled.
    ///
    /// # Errors
    /// If a client does not end in time.
    pub async fn stop_writers(&mut self) -> Result<(), RunError> {
        self.shared.stop.cancel();
        let limit = self.options.drain;
        match timeout(limit, join_all(&mut self.writers)).await {
            Ok(joined) => joined,
            Err(_) => Err(self.timed_out("writers did not end", limit)),
        }
    }

    /// Stops the writers, lets every watcher read to the last change, lists at every server and
    /// with `others`, and judges. The servers must be available again.
    ///
    /// # Errors
    /// If a client does not end in time.
    pub async fn finish(
        mut self,
        others: &[Arc<dyn Client>],
    ) -> Result<(Verdict, History), RunError> {
        self.stop_writers().await?;
        let limit = self.options.drain;
        let listed = timeout(limit, self.list_all(others)).await;
        let stored = listed.map_err(|_| self.timed_out("lists did not end", limit))?;
        let target = stored.first().map(|listing| listing.revision);
        self.shared.target.send_replace(target);
        let ended = timeout(limit, join_all(&mut self.watchers)).await;
        match ended {
            Ok(joined) => joined?,
            Err(_) => return Err(self.timed_out(&self.behind(target), limit)),
        }
        let mut history = self.shared.ledger.snapshot();
        history.stored = stored;
        history
            .watches
            .sort_by(|one, other| one.name.cmp(&other.name));
        Ok((judge(&history, self.options.epochs), history))
    }

    fn behind(&self, target: Option<Revision>) -> String {
        let positions = self.positions.lock();
        let due = target.unwrap_or_default();
        let behind: Vec<String> = positions
            .iter()
            .map(|(name, at)| (name, Revision::new(at.load(Ordering::Acquire))))
            .filter(|(_, at)| *at < due)
            .map(|(name, at)| format!("{name} at {at}"))
            .take(5)
            .collect();
        format!(
            "watchers did not receive everything up to {due} ({})",
            behind.join(", ")
        )
    }

    /// Lists at every server and with every other client.
    async fn list_all(&self, others: &[Arc<dyn Client>]) -> Vec<Listing> {
        let mut stored = Vec::new();
        for turn in 0..self.shared.servers.count() {
            let connect = async || self.shared.servers.connect(turn).await.1;
            stored.extend(self.list(connect).await);
        }
        for client in others {
            stored.extend(self.list(async || Arc::clone(client)).await);
        }
        stored
    }

    /// Lists, and again while the list fails for a reason that is no fault.
    async fn list(&self, connect: impl AsyncFn() -> Arc<dyn Client>) -> Option<Listing> {
        loop {
            match connect().await.list().await {
                Ok(listing) => return Some(listing),
                Err(error) if self.shared.justifies(Call::List, &error) => sleep(POLL * 10).await,
                Err(_) => return None,
            }
        }
    }
}

async fn join_all(tasks: &mut JoinSet<()>) -> Result<(), RunError> {
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// Starts a watcher at every server from each received revision.
async fn follow_all(
    mut starts: mpsc::Receiver<Revision>,
    shared: Arc<Shared>,
    positions: Positions,
) {
    let mut watchers = JoinSet::new();
    while let Some(start) = starts.recv().await {
        for number in 0..shared.servers.count() {
            let name = format!("watcher from {start} at server {number}");
            let watcher = Watcher::new(&shared, number, name.clone(), Segment::after(start));
            positions.lock().push((name, watcher.published_position()));
            watchers.spawn(watcher.run());
        }
    }
    watchers.join_all().await;
}

#[cfg(test)]
mod tests;
