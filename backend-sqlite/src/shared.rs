//! State that the threads of one store share.

use backend_proto::v1::Header;
use parking_lot::{Mutex, RwLock};
use sidecar::driver::{DriverHealth, ImportProgress};
use sidecar::head::Head;

use crate::error::Error;
use crate::files::{Lost, OpenFiles};
use crate::pins::Pins;

/// What every part of the driver may look at.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Changes only with an import.
    store_id: RwLock<String>,
    head: RwLock<Head>,
    /// Of everything but the fence.
    health: Mutex<DriverHealth>,
    fenced: RwLock<Option<String>>,
    importing: RwLock<Option<ImportProgress>>,
    /// Why no write is taken although the database works.
    file_lost: RwLock<Option<String>>,
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

    /// The header of a head that a read found in the database. A commit is durable and can be
    /// read a little before the writer publishes it: what is told here must not be told less of
    /// later.
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

    /// Takes over the identity of an imported store.
    pub(crate) fn adopt(&self, store_id: String, head: Head) {
        *self.store_id.write() = store_id;
        self.publish(head);
    }

    pub(crate) fn header(&self, head: Head) -> Header {
        head.header(self.store_id.read().clone())
    }

    /// Why the store is fenced, if it is.
    pub(crate) fn fenced(&self) -> Option<String> {
        self.fenced.read().clone()
    }

    /// Publishes the fence, or that there is none; only after its commit.
    pub(crate) fn set_fenced(&self, reason: Option<String>) {
        *self.fenced.write() = reason;
    }

    /// How far an unfinished import has come.
    pub(crate) fn importing(&self) -> Option<ImportProgress> {
        self.importing.read().clone()
    }

    /// Publishes the progress of an import, or its end; only after its commit.
    pub(crate) fn set_importing(&self, progress: Option<ImportProgress>) {
        *self.importing.write() = progress;
    }

    /// Refuses while an import is unfinished.
    pub(crate) fn check_whole(&self) -> Result<(), Error> {
        match *self.importing.read() {
            Some(_) => Err(Error::Importing),
            None => Ok(()),
        }
    }

    pub(crate) fn health(&self) -> DriverHealth {
        let health = self.health.lock().clone();
        let lost = self.file_lost.read().clone();
        match (health, lost, self.fenced()) {
            (dead @ DriverHealth::Dead(_), ..) => dead,
            (_, Some(lost), _) => DriverHealth::NotReady(lost),
            // A fence refuses whatever a full disk does.
            (_, None, Some(reason)) => DriverHealth::Fenced(reason),
            (health, None, None) => health,
        }
    }

    /// Publishes what became of the files, and tells an operator when that is news; the refusal if
    /// they are not what they were.
    pub(crate) fn look_at(&self, files: &OpenFiles) -> Result<(), Error> {
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
                None => tracing::info!("the files of the database are back"),
            }
            known.clone_from(&lost);
        }
        lost.map_or(Ok(()), |sentence| Err(Error::FileLost(sentence)))
    }

    /// Changes health; `Dead` is final.
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
    fn a_revision_that_a_read_told_is_not_taken_back() {
        let shared = Shared::new("store".to_owned(), head(1, 10, 5));
        let told = shared.read(head(1, 11, 5));
        assert_eq!((told.revision, shared.head()), (11, head(1, 11, 5)));
        // A read of an older snapshot tells its own revision and moves nothing.
        let told = shared.read(head(1, 7, 6));
        assert_eq!((told.revision, shared.head()), (7, head(1, 11, 6)));
        shared.read(head(2, 100, 100));
        assert_eq!(shared.head(), head(1, 11, 6));
    }
}
