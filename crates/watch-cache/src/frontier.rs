//! The revision up to which all collections are complete.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The newest revision up to which every change is applied to every collection.
#[derive(Debug)]
pub struct Frontier {
    up_to_revision: AtomicU64,
    moved: watch::Sender<State>,
}

/// The collections were dropped; use the group that replaces this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the collections were dropped")]
pub struct FrontierClosed;

#[derive(Clone, Copy, Debug)]
struct State {
    up_to_revision: u64,
    closed: bool,
}

impl Frontier {
    pub(crate) fn new(up_to_revision: u64) -> Self {
        let moved = watch::Sender::new(State {
            up_to_revision,
            closed: false,
        });
        Self {
            up_to_revision: AtomicU64::new(up_to_revision),
            moved,
        }
    }

    /// Returns the revision.
    #[must_use]
    pub fn up_to_revision(&self) -> u64 {
        self.up_to_revision.load(Ordering::Acquire)
    }

    /// Advances to a revision; call after its changes were applied. Never goes back.
    pub fn advance(&self, up_to_revision: u64) {
        if self
            .up_to_revision
            .fetch_max(up_to_revision, Ordering::AcqRel)
            < up_to_revision
        {
            self.moved.send_modify(|state| {
                state.up_to_revision = state.up_to_revision.max(up_to_revision)
            });
        }
    }

    /// Waits until a revision is reached. Callers must apply a timeout.
    ///
    /// # Errors
    /// If the collections were dropped.
    pub async fn reached(&self, revision: u64) -> Result<(), FrontierClosed> {
        if self.up_to_revision() >= revision {
            return Ok(());
        }
        let mut moved = self.moved.subscribe();
        let state = moved
            .wait_for(|state| state.closed || state.up_to_revision >= revision)
            .await;
        match state {
            Ok(state) if state.up_to_revision >= revision => Ok(()),
            Ok(_) | Err(_) => Err(FrontierClosed),
        }
    }

    pub(crate) fn close(&self) {
        self.moved.send_modify(|state| state.closed = true);
    }
}
