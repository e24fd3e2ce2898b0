//! The shared handle of a history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::change::{Key, Listing, Revision};
use crate::client::{Applied, Head, Write};
use crate::fault::Fault;
use crate::history::{Attempt, History, Outcome};

/// The history of a run, shared by its clients. No lock is held across an await.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    history: Arc<Mutex<History>>,
    /// Newest revision that any client has observed.
    newest: Arc<AtomicU64>,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn begin(baseline: Arc<Listing>) -> Self {
        let ledger = Self::default();
        ledger.observe(baseline.revision);
        ledger.with(|history| history.baseline = baseline);
        ledger
    }

    pub(crate) fn observe(&self, revision: Revision) {
        self.newest.fetch_max(revision.get(), Ordering::AcqRel);
    }

    /// Newest revision that any client has observed so far.
    #[must_use]
    pub fn newest(&self) -> Revision {
        Revision::new(self.newest.load(Ordering::Acquire))
    }

    /// Reads or extends the history. `with` must not wait.
    pub fn with<T>(&self, with: impl FnOnce(&mut History) -> T) -> T {
        with(&mut self.history.lock())
    }

    /// Records an acknowledged write.
    pub fn acknowledged(&self, write: &Write, applied: &Applied, server: usize) {
        if let Some(revision) = applied.revision {
            self.observe(revision);
        }
        let outcome = Outcome::Acknowledged {
            revision: applied.revision,
            digest: applied.digest,
            server,
            at: Instant::now(),
        };
        self.attempt(write, applied, outcome);
    }

    /// Records a write that may have been applied.
    pub fn unknown(&self, write: &Write) {
        self.attempt(write, &Applied::default(), Outcome::Unknown);
    }

    /// Records a write that may have been applied in an epoch that has ended.
    pub fn overtaken(&self, write: &Write) {
        self.attempt(write, &Applied::default(), Outcome::Overtaken);
    }

    fn attempt(&self, write: &Write, applied: &Applied, outcome: Outcome) {
        let attempt = Attempt {
            key: write.key.clone(),
            kind: write.action.kind(),
            number: write.number,
            author: applied.author.clone(),
            outcome,
        };
        self.history.lock().attempts.push(attempt);
    }

    /// Records the newest revision of the store.
    pub fn head(&self, observed: Revision, head: &Head) {
        self.history.lock().head(observed, head);
    }

    /// Records a fault.
    pub fn fault(&self, fault: Fault) {
        self.history.lock().fault(fault);
    }

    /// Excludes a key that others than the workload's writers change from the rules about writes.
    pub fn expect_foreign(&self, key: impl Into<Key>) {
        self.history.lock().foreign.insert(key.into());
    }

    /// The whole history so far.
    #[must_use]
    pub fn snapshot(&self) -> History {
        self.history.lock().clone()
    }
}
