//! The highest reported revision, and the rejection of responses below it.

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::backend::error::{Error, Reason};
use crate::backend::record::Header;

/// The highest epoch and revision that the backend has reported.
#[derive(Debug)]
pub(super) struct RevisionGuard {
    highest: Mutex<Position>,
    /// Identity and epoch of the store; `None` before the first response.
    identity: watch::Sender<Option<Identity>>,
    /// The identity whose objects are loaded; `None` before that.
    admitted: Mutex<Option<Identity>>,
}

/// A store and its epoch. A change of either invalidates all caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) store_id: String,
    pub(super) epoch: u64,
}

/// An epoch and a revision; the default is below all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    epoch: u64,
    revision: u64,
}

impl RevisionGuard {
    pub(super) fn new() -> Self {
        Self {
            highest: Mutex::default(),
            identity: watch::Sender::new(None),
            admitted: Mutex::default(),
        }
    }

    /// Admits calls to the store with this header.
    pub(super) fn admit(&self, header: &Header) {
        *self.admitted.lock() = Some(Identity::of(header));
    }

    /// Checks that the objects of the connected store are loaded.
    ///
    /// # Errors
    /// [`Reason::NotReady`] if they are not.
    pub(super) fn check_admitted(&self) -> Result<(), Error> {
        let admitted = self.admitted.lock();
        let message = match &*admitted {
            None => "objects are being loaded",
            Some(_) if *admitted == *self.identity.borrow() => return Ok(()),
            Some(_) => "the store was replaced or started a new epoch: objects are being loaded",
        };
        Err(Error::new(Reason::NotReady, message))
    }

    /// The highest position so far. The response to a call that starts now must not be below it.
    pub(super) fn position(&self) -> Position {
        *self.highest.lock()
    }

    /// The identity of the store, and its changes.
    pub(super) fn identity(&self) -> watch::Receiver<Option<Identity>> {
        self.identity.subscribe()
    }

    /// Records the header of a response.
    ///
    /// # Errors
    /// [`Reason::Regressed`] if it is below `floor`, or has a lower epoch than an earlier response.
    pub(super) fn note(&self, header: &Header, floor: Position) -> Result<(), Error> {
        let now = Position {
            epoch: header.epoch,
            revision: header.revision.get(),
        };
        let mut highest = self.highest.lock();
        if now < floor || now.epoch < highest.epoch {
            // Clients may hold newer objects than this store. Only an operator can decide whether
            // it is the intended one.
            let remedy = if now.epoch < highest.epoch {
                "if this is the intended store, restart the gateways"
            } else {
                "if it was restored, start a new epoch: `new-epoch` of its driver"
            };
            let message = format!(
                "the storage backend regressed from revision {} (epoch {}) to {} (epoch {}): \
                 {remedy}",
                highest.revision, highest.epoch, now.revision, now.epoch
            );
            tracing::error!(%message, "rejected response of the storage backend");
            return Err(Error::new(Reason::Regressed, message));
        }
        *highest = now.max(*highest);
        drop(highest);
        let identity = Identity::of(header);
        self.identity.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&identity);
            *known = Some(identity);
            changed
        });
        Ok(())
    }
}

impl Identity {
    fn of(header: &Header) -> Self {
        Self {
            store_id: header.store_id.clone(),
            epoch: header.epoch,
        }
    }
}

#[cfg(test)]
mod tests {
    use api_types::revision::Revision;

    use super::{Position, RevisionGuard};
    use crate::backend::record::Header;

    fn header(epoch: u64, revision: u64) -> Header {
        Header {
            store_id: "s".to_owned(),
            epoch,
            revision: Revision::new(revision).expect("a revision"),
            compact_revision: Revision::MIN,
        }
    }

    #[test]
    fn responses_below_the_position_at_the_call_are_rejected() {
        let guard = RevisionGuard::new();
        assert!(guard.note(&header(1, 10), Position::default()).is_ok());
        let floor = guard.position();
        assert!(guard.note(&header(1, 12), floor).is_ok());
        // The response above overtook this one, which was not old at its call.
        assert!(guard.note(&header(1, 11), floor).is_ok());
        let error = guard.note(&header(1, 9), floor).expect_err("rejected");
        assert!(error.to_string().contains("new-epoch"), "{error}");
        let mut identity = guard.identity();
        identity.mark_unchanged();
        assert!(guard.note(&header(2, 1 << 41), floor).is_ok());
        assert!(identity.has_changed().expect("the sender exists"));
        let error = guard.note(&header(1, 99), floor).expect_err("rejected");
        assert!(
            error.to_string().contains("restart the gateways"),
            "{error}"
        );
    }

    #[test]
    fn only_the_loaded_store_is_admitted() {
        let guard = RevisionGuard::new();
        guard.check_admitted().expect_err("nothing is loaded");
        guard
            .note(&header(1, 10), Position::default())
            .expect("noted");
        guard.check_admitted().expect_err("nothing is loaded");
        guard.admit(&header(1, 10));
        guard.check_admitted().expect("loaded");
        let others = [
            header(2, 1 << 41),
            Header {
                store_id: "another".to_owned(),
                ..header(2, 1 << 41)
            },
        ];
        for other in others {
            guard.note(&other, Position::default()).expect("noted");
            guard.check_admitted().expect_err("another store or epoch");
            guard.admit(&other);
            guard.check_admitted().expect("loaded");
        }
    }
}
