//! State that the parts of one driver share.

use std::time::{Duration, Instant};

use backend_proto::v1::Header;
use parking_lot::Mutex;
use sidecar::driver::DriverHealth;
use sidecar::head::Head;

use crate::error::Error;
use crate::store::{Floor, Stand};

/// An outage is told within this, by health and to every caller.
pub(crate) const PROMISE: Duration = Duration::from_secs(5);

/// Without an answer of the database for this long, nobody knows what others wrote. The log is read
/// at least every 1.25 s.
const SILENCE: Duration = Duration::from_secs(4);

/// How often the kit asks for our health.
const ASKED_EVERY: Duration = Duration::from_millis(500);
const _: () = assert!(SILENCE.as_millis() + ASKED_EVERY.as_millis() < PROMISE.as_millis());

/// What every part may look at.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    store_id: String,
    /// The highest head that was seen.
    head: Head,
    fenced: Option<String>,
    /// The last answer of the database, and the trouble since.
    heard: Instant,
    trouble: Option<String>,
}

impl Shared {
    pub(crate) fn new(stand: &Stand) -> Self {
        Self(Mutex::new(State {
            store_id: stand.store_id.clone(),
            head: stand.head,
            fenced: stand.fenced.clone(),
            heard: Instant::now(),
            trouble: None,
        }))
    }

    /// What an answer to a question asked now must not be below.
    pub(crate) fn floor(&self) -> Floor {
        let state = self.0.lock();
        Floor {
            store_id: state.store_id.clone(),
            epoch: state.head.epoch,
            revision: state.head.revision,
        }
    }

    /// Takes note of what the database said, and makes the header of it.
    pub(crate) fn note(&self, stand: &Stand) -> Header {
        let mut state = self.0.lock();
        state.heard = Instant::now();
        state.trouble = None;
        state.fenced.clone_from(&stand.fenced);
        if state.store_id == stand.store_id {
            state.head = state.head.max(stand.head);
        } else {
            // Another process imported a store.
            state.store_id.clone_from(&stand.store_id);
            state.head = stand.head;
        }
        drop(state);
        header(stand)
    }

    /// Takes note of how a call to the database ended that began at a time.
    pub(crate) fn judge<T>(&self, begun: Instant, result: Result<T, Error>) -> Result<T, Error> {
        let mut state = self.0.lock();
        match &result {
            // Others were answered meanwhile: it is that call's trouble and nobody else's.
            Err(error) if error.is_outage() && state.heard > begun => {}
            Err(error @ (Error::Denied(_) | Error::Refused(_))) => {
                state.trouble = Some(error.to_string());
            }
            Err(error) if error.is_outage() => {
                state.trouble = Some(error.to_string());
            }
            // Says nothing about the database.
            Err(Error::Overloaded) => {}
            // Any other refusal is an answer.
            _ => {
                state.heard = Instant::now();
                state.trouble = None;
            }
        }
        drop(state);
        result
    }

    /// Whether the last that was heard of the database is trouble.
    pub(crate) fn in_trouble(&self) -> bool {
        self.0.lock().trouble.is_some()
    }

    /// When the database answered last, if there was trouble since.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        state.trouble.is_some().then_some(state.heard)
    }

    /// Why no connection was free in time.
    pub(crate) fn no_room(&self) -> Error {
        match &self.0.lock().trouble {
            Some(trouble) => Error::Unreachable(trouble.clone()),
            None => Error::Overloaded,
        }
    }

    pub(crate) fn fenced(&self) -> Option<String> {
        self.0.lock().fenced.clone()
    }

    pub(crate) fn health(&self) -> DriverHealth {
        let state = self.0.lock();
        if let Some(trouble) = &state.trouble {
            return DriverHealth::NotReady(trouble.clone());
        }
        if state.heard.elapsed() > SILENCE {
            return DriverHealth::NotReady("the database does not answer".to_owned());
        }
        match &state.fenced {
            Some(reason) => DriverHealth::Fenced(reason.clone()),
            None => DriverHealth::Ready,
        }
    }
}

/// The header of a state.
pub(crate) fn header(stand: &Stand) -> Header {
    stand.head.header(stand.store_id.clone())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use sidecar::driver::DriverHealth;
    use sidecar::head::Head;

    use super::Shared;
    use crate::error::Error;
    use crate::store::Stand;

    fn shared() -> Shared {
        Shared::new(&Stand {
            store_id: "a".to_owned(),
            head: Head::default(),
            fenced: None,
            importing: false,
            here: true,
        })
    }

    fn lost() -> Result<(), Error> {
        Err(Error::Lost("connection closed".to_owned()))
    }

    #[test]
    fn a_call_that_was_lost_while_others_were_answered_is_no_outage() {
        let shared = shared();
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        shared.judge(Instant::now(), Ok(())).expect("an answer");
        shared.judge(begun, lost()).expect_err("its own trouble");
        assert_eq!(shared.health(), DriverHealth::Ready);
        assert_eq!(shared.silent_since(), None);
    }

    #[test]
    fn a_call_that_was_lost_while_nobody_was_answered_is_one_until_somebody_is() {
        let shared = shared();
        std::thread::sleep(Duration::from_millis(1));
        shared.judge(Instant::now(), lost()).expect_err("trouble");
        assert!(matches!(shared.health(), DriverHealth::NotReady(_)));
        assert!(shared.silent_since().is_some());
        shared.judge(Instant::now(), Ok(())).expect("an answer");
        assert_eq!(shared.health(), DriverHealth::Ready);
    }
}
