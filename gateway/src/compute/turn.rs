//! Walks over many things, such as the objects of a list: they leave their thread to others now and then,
//! and only a few of them are on a thread at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The longest a walk keeps its thread, about. What a request asks of the backend takes five tasks one
/// after the other, each of which waits for a turn to end.
const TURN: Duration = Duration::from_millis(1);
/// The same before it has waited for a turn. A thousand walks at once keep two threads for a twentieth of
/// a second.
const START: Duration = Duration::from_micros(100);
/// Things that are looked at before it waits, however long that takes: small lists never do.
const FREE: usize = 64;
/// Things that are looked at before the clock is: reading it takes about as long as a look at one.
const LOOKS: usize = 16;
/// Bytes of an object that count as one more thing; a thread reads some hundred of them in a
/// microsecond.
const LOOK_BYTES: usize = 1 << 10;

/// The turns of walks: first come, first served. Cheap to clone.
///
/// Without them a short request would wait until each of a thousand long walks had had its turn.
#[derive(Clone, Debug)]
pub struct Walks(Arc<Semaphore>);

/// How long a walk has kept its thread.
#[derive(Debug)]
pub struct Turn {
    walks: Walks,
    /// None at the start.
    permit: Option<OwnedSemaphorePermit>,
    began: Instant,
    looks: usize,
    /// What is left of [`FREE`].
    free: usize,
}

impl Walks {
    /// So many at a time.
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// The start of a walk, which does not wait for other walks.
    #[must_use]
    pub fn begin(&self) -> Turn {
        Turn {
            walks: self.clone(),
            permit: None,
            began: Instant::now(),
            looks: 0,
            free: FREE,
        }
    }
}

impl Turn {
    /// Counts one thing, of which `bytes` were read; whether the turn is over.
    pub fn spend(&mut self, bytes: usize) -> bool {
        self.looks += 1 + bytes / LOOK_BYTES;
        if self.looks < LOOKS {
            return false;
        }
        self.free = self.free.saturating_sub(self.looks);
        if self.free > 0 {
            self.looks = 0;
            return false;
        }
        self.looks = 0;
        let longest = if self.permit.is_some() { TURN } else { START };
        self.began.elapsed() >= longest
    }

    /// Counts one thing; lets others have their turn when this one is over. The request's deadline
    /// bites here.
    pub async fn pass(&mut self, bytes: usize) {
        if self.spend(bytes) {
            self.renew().await;
        }
    }

    /// Starts again without waiting for other walks.
    pub fn start(&mut self) {
        *self = self.walks.begin();
    }

    /// Leaves the thread until [`Turn::renew`]; to be done before anything else is waited for.
    pub fn end(&mut self) {
        self.permit = None;
    }

    /// Lets others have their turn, and then goes on.
    pub async fn renew(&mut self) {
        self.permit = None;
        // The semaphore is never closed.
        self.permit = Arc::clone(&self.walks.0).acquire_owned().await.ok();
        // With the place, so that no other walk has the thread: then the runtime looks for what has come
        // in meanwhile, which it does otherwise once in 61 turns.
        tokio::task::yield_now().await;
        self.began = Instant::now();
        (self.looks, self.free) = (0, 0);
    }
}
