//! Walks over many things that leave their thread to others now and then.

use std::time::Duration;

use tokio::time::Instant;

/// The longest a walk keeps its thread, about: a tenth of what a request may.
const TIME: Duration = Duration::from_millis(5);
/// Things that are looked at before the clock is: reading it takes about as long as a look at one.
const LOOKS: usize = 64;
/// Bytes of an object that count as one more thing; a thread reads some hundred of them in a
/// microsecond.
const LOOK_BYTES: usize = 1 << 10;

/// How long a walk has kept its thread.
#[derive(Debug)]
pub struct Turn {
    began: Instant,
    looks: usize,
}

impl Turn {
    /// A turn that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            looks: 0,
        }
    }

    /// Counts one thing, of which `bytes` were read; whether the turn is over.
    pub fn spend(&mut self, bytes: usize) -> bool {
        self.looks += 1 + bytes / LOOK_BYTES;
        if self.looks < LOOKS {
            return false;
        }
        self.looks = 0;
        self.began.elapsed() >= TIME
    }

    /// Counts one thing; lets others have their turn when this one is over. The request's deadline
    /// bites here.
    pub async fn pass(&mut self, bytes: usize) {
        if self.spend(bytes) {
            tokio::task::yield_now().await;
            *self = Self::begin();
        }
    }
}
