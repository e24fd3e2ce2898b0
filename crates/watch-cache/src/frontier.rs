//! The revision up to which all collections are complete.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The newest revision up to which every change is applied to every collection.
#[derive(Debug)]
pub struct Frontier {
    through: AtomicU64,
    moved: watch::Sender<State>,
}

/// The collections were dropped; use the group that replaces this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the collections were dropped")]
pub struct FrontierClosed;

#[derive(Clone, Copy, Debug)]
struct State {
    through: u64,
    closed: bool,
}

impl Frontier {
    pub(crate) fn new(through: u64) -> Self {
        let moved = watch::Sender::new(State {
            through,
            closed: false,
        });
        Self {
            through: AtomicU64::new(through),
            moved,
        }
    }

    /// Returns the revision.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through.load(Ordering::Acquire)
    }

    /// Advances to a revision; call after its changes were applied. Never goes back.
    pub fn advance(&self, through: u64) {
        if self.through.fetch_max(through, Ordering::AcqRel) < through {
            self.moved
                .send_modify(|state| state.through = state.through.max(through));
        }
    }

    /// Waits until a revision is reached. Callers must apply a timeout.
    ///
    /// # Errors
    /// If the collections were dropped.
    pub async fn reached(&self, revision: u64) -> Result<(), FrontierClosed> {
        if self.through() >= revision {
            return Ok(());
        }
        let mut moved = self.moved.subscribe();
        let state = moved
            .wait_for(|state| state.closed || state.through >= revision)
            .await;
        match state {
            Ok(state) if state.through >= revision => Ok(()),
            Ok(_) | Err(_) => Err(FrontierClosed),
        }
    }

    pub(crate) fn close(&self) {
        self.moved.send_modify(|state| state.closed = true);
    }
}
