//! The highest state ever seen, and the refusal of anything below it.

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::backend::error::{Error, Reason};
use crate::backend::record::Header;

/// The highest epoch and revision that the backend has reported.
#[derive(Debug)]
pub(super) struct Seen {
    highest: Mutex<Highest>,
    /// Identity and epoch of the store; `None` before the first answer.
    identity: watch::Sender<Option<Identity>>,
    /// The identity whose objects are loaded; `None` before that.
    admitted: Mutex<Option<Identity>>,
}

/// A store and its epoch: when either changes, all caches are void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) store_id: String,
    pub(super) epoch: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Highest {
    epoch: u64,
    revision: u64,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            highest: Mutex::default(),
            identity: watch::Sender::new(None),
            admitted: Mutex::default(),
        }
    }

    /// Lets calls through to the store of this header.
    pub(super) fn admit(&self, header: &Header) {
        *self.admitted.lock() = Some(Identity::of(header));
    }

    /// Whether calls may reach the store: the one that answers now is the one whose objects are
    /// loaded.
    ///
    /// # Errors
    /// [`Reason::NotReady`] if it is not; nothing was asked.
    pub(super) fn check_admitted(&self) -> Result<(), Error> {
        let admitted = self.admitted.lock();
        let message = match &*admitted {
            None => "objects are being loaded",
            Some(_) if *admitted == *self.identity.borrow() => return Ok(()),
            Some(_) => "the store is another one, or began a new epoch: objects are being loaded",
        };
        Err(Error::new(Reason::NotReady, message))
    }

    /// What was seen so far: an answer to a question asked now must not be below it.
    pub(super) fn highest(&self) -> Highest {
        *self.highest.lock()
    }

    /// Publishes the store's identity, at once and whenever it changes.
    pub(super) fn identity(&self) -> watch::Receiver<Option<Identity>> {
        self.identity.subscribe()
    }

    /// Takes note of an answer.
    ///
    /// # Errors
    /// [`Reason::WentBack`] if it is below `floor`, or of an older epoch than was seen.
    pub(super) fn note(&self, header: &Header, floor: Highest) -> Result<(), Error> {
        let now = Highest {
            epoch: header.epoch,
            revision: header.revision.get(),
        };
        let mut highest = self.highest.lock();
        if now < floor || now.epoch < highest.epoch {
            // Clients may hold what this store does not know. Whether it is meant, a person knows.
            let remedy = if now.epoch < highest.epoch {
                "if it is the store that is meant, restart the gateways"
            } else {
                "if it was restored, begin a new epoch: `new-epoch` of its driver"
            };
            let message = format!(
                "the storage backend went back from revision {} (epoch {}) to {} (epoch {}): {remedy}",
                highest.revision, highest.epoch, now.revision, now.epoch
            );
            tracing::error!(%message, "answer refused");
            return Err(Error::new(Reason::WentBack, message));
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

    use super::{Highest, Seen};
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
    fn answers_below_what_was_known_when_asked_are_refused() {
        let seen = Seen::new();
        assert!(seen.note(&header(1, 10), Highest::default()).is_ok());
        let asked = seen.highest();
        assert!(seen.note(&header(1, 12), asked).is_ok());
        // Overtaken on the way by the answer above, yet not old when it was asked for.
        assert!(seen.note(&header(1, 11), asked).is_ok());
        let refused = seen.note(&header(1, 9), asked).expect_err("refused");
        assert!(refused.to_string().contains("new-epoch"), "{refused}");
        let mut identity = seen.identity();
        identity.mark_unchanged();
        assert!(seen.note(&header(2, 1 << 41), asked).is_ok());
        assert!(identity.has_changed().expect("the sender lives"));
        let refused = seen.note(&header(1, 99), asked).expect_err("refused");
        assert!(
            refused.to_string().contains("restart the gateways"),
            "{refused}"
        );
    }

    #[test]
    fn only_the_store_that_was_loaded_is_called() {
        let seen = Seen::new();
        seen.check_admitted().expect_err("nothing is loaded");
        seen.note(&header(1, 10), Highest::default())
            .expect("noted");
        seen.check_admitted().expect_err("nothing is loaded");
        seen.admit(&header(1, 10));
        seen.check_admitted().expect("loaded");
        let others = [
            header(2, 1 << 41),
            Header {
                store_id: "another".to_owned(),
                ..header(2, 1 << 41)
            },
        ];
        for other in others {
            seen.note(&other, Highest::default()).expect("noted");
            seen.check_admitted().expect_err("another store or epoch");
            seen.admit(&other);
            seen.check_admitted().expect("loaded");
        }
    }
}
