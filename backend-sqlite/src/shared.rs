//! State that the threads of one store share.

use backend_proto::v1::Header;
use parking_lot::{Mutex, RwLock};
use sidecar::driver::DriverHealth;

use crate::error::Error;
use crate::pins::Pins;

/// Where the store is: the committed content of the row of `store`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) epoch: i64,
    /// Newest committed and durable revision.
    pub(crate) revision: i64,
    pub(crate) compact_revision: i64,
}

/// What every part of the driver may look at.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Changes only with an import.
    store_id: RwLock<String>,
    head: RwLock<Head>,
    health: Mutex<DriverHealth>,
    pub(crate) pins: Pins,
}

impl Shared {
    pub(crate) fn new(store_id: String, head: Head) -> Self {
        Self {
            store_id: RwLock::new(store_id),
            head: RwLock::new(head),
            health: Mutex::new(DriverHealth::Ready),
            pins: Pins::default(),
        }
    }

    /// The newest durable head.
    pub(crate) fn head(&self) -> Head {
        *self.head.read()
    }

    /// Publishes a head; only after its commit.
    pub(crate) fn publish(&self, head: Head) {
        *self.head.write() = head;
    }

    /// Takes over the identity of an imported store.
    pub(crate) fn adopt(&self, store_id: String, head: Head) {
        *self.store_id.write() = store_id;
        self.publish(head);
    }

    pub(crate) fn header(&self, head: Head) -> Header {
        Header {
            store_id: self.store_id.read().clone(),
            epoch: head.epoch,
            revision: head.revision,
            compact_revision: head.compact_revision,
        }
    }

    pub(crate) fn health(&self) -> DriverHealth {
        self.health.lock().clone()
    }

    /// Changes health; `Dead` is final.
    pub(crate) fn set_health(&self, health: DriverHealth) {
        let mut now = self.health.lock();
        if !matches!(*now, DriverHealth::Dead(_)) {
            *now = health;
        }
    }
}

impl Head {
    /// Checks that state at `revision` can be read; 0 stands for the latest.
    pub(crate) fn readable(self, revision: i64) -> Result<i64, Error> {
        if revision == 0 {
            return Ok(self.revision);
        }
        if revision > self.revision {
            return Err(Error::Future {
                asked: revision,
                current: self.revision,
            });
        }
        if revision < self.compact_revision {
            return Err(Error::Compacted {
                compact_revision: self.compact_revision,
            });
        }
        Ok(revision)
    }
}
