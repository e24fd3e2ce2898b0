//! Revisions that running lists still read.
//!
//! A list reads in short transactions, so no SQLite snapshot preserves its revision. It pins the
//! revision here, and the sweep of compacted rows stays below the lowest pin.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Pinned revisions with their reference counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pins(Arc<Mutex<BTreeMap<i64, usize>>>);

/// Keeps a revision readable until dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Pins,
    revision: i64,
}

impl Pins {
    /// Pins `revision`; 0 pins everything.
    pub(crate) fn pin(&self, revision: i64) -> Pin {
        *self.0.lock().entry(revision).or_default() += 1;
        Pin {
            pins: self.clone(),
            revision,
        }
    }

    /// Returns the lowest pinned revision: rows replaced at or below it may be deleted.
    pub(crate) fn lowest(&self) -> Option<i64> {
        self.0.lock().keys().next().copied()
    }

    fn unpin(&self, revision: i64) {
        let mut pins = self.0.lock();
        if let Some(count) = pins.get_mut(&revision) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&revision);
            }
        }
    }
}

impl Pin {
    /// Moves the pin to the snapshot revision of its list.
    pub(crate) fn move_to(&mut self, revision: i64) {
        let moved = self.pins.pin(revision);
        *self = moved;
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.unpin(self.revision);
    }
}
