//! Up to which revision the collections are complete, and waiting for it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The newest revision up to which every change has been applied to every collection.
#[derive(Debug)]
pub struct Frontier {
    through: AtomicU64,
    moved: watch::Sender<State>,
}

/// The collections were dropped; ask their successors.
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

    /// Where it is.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through.load(Ordering::Acquire)
    }

    /// Moves it forward; call after the changes were applied. Never moves back.
    pub fn advance(&self, through: u64) {
        if self.through.fetch_max(through, Ordering::AcqRel) < through {
            self.moved
                .send_modify(|state| state.through = state.through.max(through));
        }
    }

    /// Waits until it has reached a revision. Set a deadline around it.
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
