//! State shared by the threads of a store.

use std::sync::atomic::{AtomicBool, Ordering};

use backend_proto::v1::Header;
use parking_lot::{Mutex, RwLock};
use sidecar::driver::{DriverHealth, ImportProgress};
use sidecar::head::Head;

use crate::error::Error;
use crate::files::{Lost, OpenFiles};
use crate::pins::Pins;

/// State that every part of the driver may read.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Changes only by an import.
    store_id: RwLock<String>,
    head: RwLock<Head>,
    /// Health without the fence.
    health: Mutex<DriverHealth>,
    fenced: RwLock<Option<String>>,
    importing: RwLock<Option<ImportProgress>>,
    /// Reason why writes are rejected although the database works.
    file_lost: RwLock<Option<String>>,
    /// Message while another program keeps the database locked.
    locked: RwLock<Option<String>>,
    /// Whether no verification is running.
    verified: AtomicBool,
    pub(crate) pins: Pins,
}

impl Shared {
    pub(crate) fn new(store_id: String, head: Head) -> Self {
        Self {
            store_id: RwLock::new(store_id),
            head: RwLock::new(head),
            health: Mutex::new(DriverHealth::Ready),
            fenced: RwLock::default(),
            importing: RwLock::default(),
            file_lost: RwLock::default(),
            locked: RwLock::default(),
            verified: AtomicBool::new(false),
            pins: Pins::default(),
        }
    }

    /// Returns the newest durable head.
    pub(crate) fn head(&self) -> Head {
        *self.head.read()
    }

    /// Publishes a head; call only after its commit.
    pub(crate) fn publish(&self, head: Head) {
        *self.head.write() = head;
    }

    /// Returns the header for a head that a read found in the database. Readers see a durable
    /// commit shortly before the writer publishes it. Publish it here too, so that a later response
    /// never has a lower revision.
    pub(crate) fn read(&self, found: Head) -> Header {
        let mut head = self.head.write();
        // An import publishes its epoch together with its identity.
        if found.epoch == head.epoch {
            head.revision = head.revision.max(found.revision);
            head.compact_revision = head.compact_revision.max(found.compact_revision);
        }
        drop(head);
        self.header(found)
    }

    /// Adopts the identity of an imported store.
    pub(crate) fn adopt(&self, store_id: String, head: Head) {
        *self.store_id.write() = store_id;
        self.publish(head);
    }

    pub(crate) fn header(&self, head: Head) -> Header {
        head.header(self.store_id.read().clone())
    }

    /// Returns the reason of the fence, if the store is fenced.
    pub(crate) fn fenced(&self) -> Option<String> {
        self.fenced.read().clone()
    }

    /// Publishes the fence or its removal; call only after the commit.
    pub(crate) fn set_fenced(&self, reason: Option<String>) {
        *self.fenced.write() = reason;
    }

    /// Returns the progress of an unfinished import.
    pub(crate) fn importing(&self) -> Option<ImportProgress> {
        self.importing.read().clone()
    }

    /// Publishes the progress of an import, or its end; call only after the commit.
    pub(crate) fn set_importing(&self, progress: Option<ImportProgress>) {
        *self.importing.write() = progress;
    }

    /// Returns an error while an import is unfinished.
    pub(crate) fn check_complete(&self) -> Result<(), Error> {
        match *self.importing.read() {
            Some(_) => Err(Error::Importing),
            None => Ok(()),
        }
    }

    pub(crate) fn health(&self) -> DriverHealth {
        let health = self.health.lock().clone();
        let lost = self.file_lost.read().clone();
        let lost = lost.or_else(|| self.locked.read().clone());
        match (health, lost, self.fenced()) {
            (dead @ DriverHealth::Dead(_), ..) => dead,
            (_, Some(lost), _) => DriverHealth::NotReady(lost),
            // The fence rejects every write, so it has precedence over a full disk.
            (_, None, Some(reason)) => DriverHealth::Fenced(reason),
            (health, None, None) => health,
        }
    }

    /// Checks the files, publishes the result, and logs a change of it. Returns an error if a file
    /// was lost.
    pub(crate) fn check_files(&self, files: &OpenFiles) -> Result<(), Error> {
        let lost = match files.check() {
            Ok(()) => None,
            Err(Lost::Emptied(sentence)) => {
                self.set_health(DriverHealth::Dead(sentence.clone()));
                Some(sentence)
            }
            Err(Lost::Gone(sentence)) => Some(sentence),
        };
        let mut known = self.file_lost.write();
        if *known != lost {
            match &lost {
                Some(sentence) => tracing::error!("{sentence}"),
                None => tracing::info!("the files of the database are in place again"),
            }
            known.clone_from(&lost);
        }
        lost.map_or(Ok(()), |sentence| Err(Error::FileLost(sentence)))
    }

    /// Whether another program kept the database locked at the last attempt to write.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked.read().is_some()
    }

    /// Publishes whether another program keeps the database locked, and logs a change of it.
    pub(crate) fn set_locked(&self, message: Option<String>) {
        let mut known = self.locked.write();
        if *known == message {
            return;
        }
        match &message {
            Some(message) => tracing::error!("{message}"),
            None => tracing::info!("the database is no longer locked by another program"),
        }
        *known = message;
    }

    /// Whether no verification is running.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }

    /// Records the end of the verification.
    pub(crate) fn set_verified(&self) {
        self.verified.store(true, Ordering::Release);
    }

    /// Sets the health; `Dead` is final.
    pub(crate) fn set_health(&self, health: DriverHealth) {
        let mut now = self.health.lock();
        if !matches!(*now, DriverHealth::Dead(_)) {
            *now = health;
        }
    }
}

#[cfg(test)]
mod tests {
    use sidecar::head::Head;

    use super::Shared;

    fn head(epoch: i64, revision: i64, compact_revision: i64) -> Head {
        Head {
            epoch,
            revision,
            compact_revision,
        }
    }

    #[test]
    fn header_never_falls_below_revision_of_a_read() {
        let shared = Shared::new("store".to_owned(), head(1, 10, 5));
        let header_read = shared.read(head(1, 11, 5));
        assert_eq!((header_read.revision, shared.head()), (11, head(1, 11, 5)));
        // A read of an older snapshot returns its own revision and does not change the head.
        let header_read = shared.read(head(1, 7, 6));
        assert_eq!((header_read.revision, shared.head()), (7, head(1, 11, 6)));
        shared.read(head(2, 100, 100));
        assert_eq!(shared.head(), head(1, 11, 6));
    }
}
