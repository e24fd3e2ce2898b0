//! Turns of walks over many objects, such as the objects of a list: a walk yields its thread
//! regularly, and only a few walks run at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Approximate longest time that a walk holds its thread. A consistent read takes five tasks in
/// sequence, and each waits for the end of a turn.
const TURN: Duration = Duration::from_millis(1);
/// The same before a walk has waited for a turn. A thousand simultaneous walks occupy two threads
/// for a twentieth of a second.
const START: Duration = Duration::from_micros(100);
/// Objects that a walk visits before it waits, regardless of the time: small lists never wait.
const FREE: usize = 64;
/// Objects between two reads of the clock, each of which takes about as long as a visit.
const CLOCK_INTERVAL: usize = 16;
/// Bytes of an object that count as one more object: a thread reads about a hundred bytes per
/// microsecond.
const VISIT_BYTES: usize = 1 << 10;

/// The turns of walks, in order of arrival. Cheap to clone.
///
/// Without them, a short request would wait for each of a thousand long walks.
#[derive(Clone, Debug)]
pub struct Walks(Arc<Semaphore>);

/// The turn of a walk.
#[derive(Debug)]
pub struct Turn {
    walks: Walks,
    /// None before the first turn.
    permit: Option<OwnedSemaphorePermit>,
    began: Instant,
    visits: usize,
    /// Remainder of [`FREE`].
    free: usize,
}

impl Walks {
    /// Turns of at most `places` walks at a time.
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Starts a walk, without waiting for other walks.
    #[must_use]
    pub fn begin(&self) -> Turn {
        Turn {
            walks: self.clone(),
            permit: None,
            began: Instant::now(),
            visits: 0,
            free: FREE,
        }
    }
}

impl Turn {
    /// Counts one object, of which `bytes` were read; returns whether the turn is over.
    pub fn spend(&mut self, bytes: usize) -> bool {
        self.visits += 1 + bytes / VISIT_BYTES;
        if self.visits < CLOCK_INTERVAL {
            return false;
        }
        self.free = self.free.saturating_sub(self.visits);
        if self.free > 0 {
            self.visits = 0;
            return false;
        }
        self.visits = 0;
        let longest = if self.permit.is_some() { TURN } else { START };
        self.began.elapsed() >= longest
    }

    /// Counts one object; yields when the turn is over. The request may be cancelled at its
    /// deadline here.
    pub async fn pass(&mut self, bytes: usize) {
        if self.spend(bytes) {
            self.renew().await;
        }
    }

    /// Starts a new turn without waiting for other walks.
    pub fn start(&mut self) {
        *self = self.walks.begin();
    }

    /// Releases the turn until [`Turn::renew`]. Call it before waiting for anything else, so that
    /// other walks can run.
    pub fn end(&mut self) {
        self.permit = None;
    }

    /// Waits for the next turn.
    pub async fn renew(&mut self) {
        self.permit = None;
        // The semaphore is never closed, so acquiring it does not fail.
        self.permit = Arc::clone(&self.walks.0).acquire_owned().await.ok();
        // Yield while holding the permit, so that no other walk takes the thread: the runtime then
        // polls its sockets, which it otherwise does once in 61 tasks.
        tokio::task::yield_now().await;
        self.began = Instant::now();
        (self.visits, self.free) = (0, 0);
    }
}
