//! State shared by the parts of one driver.

use std::time::{Duration, Instant};

use backend_proto::v1::Header;
use parking_lot::Mutex;
use sidecar::driver::DriverHealth;
use sidecar::head::Head;

use crate::error::Error;
use crate::store::{Floor, Stand};

/// Maximum time until health and every caller report an outage.
pub(crate) const PROMISE: Duration = Duration::from_secs(5);

/// Time without a response from the database after which changes of other writers may be missed.
/// The log is read at least every 1.25 s, so this allows for a few failed reads.
const SILENCE: Duration = Duration::from_secs(4);

/// Interval at which the kit polls the health.
const ASKED_EVERY: Duration = Duration::from_millis(500);
const _: () = assert!(SILENCE.as_millis() + ASKED_EVERY.as_millis() < PROMISE.as_millis());

/// State that every part may read.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    store_id: String,
    /// Highest observed head.
    head: Head,
    fenced: Option<String>,
    /// Time of the last response of the database, and the error since.
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

    /// Returns the lower bound for the state of any read that begins now.
    pub(crate) fn floor(&self) -> Floor {
        let state = self.0.lock();
        Floor {
            store_id: state.store_id.clone(),
            epoch: state.head.epoch,
            revision: state.head.revision,
        }
    }

    /// Records a state read from the database, and returns its header.
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

    /// Records the result of a database call that began at `begun`.
    pub(crate) fn judge<T>(&self, begun: Instant, result: Result<T, Error>) -> Result<T, Error> {
        let mut state = self.0.lock();
        match &result {
            // Another call succeeded since this one began: this failure does not indicate an
            // outage.
            Err(error) if error.is_outage() && state.heard > begun => {}
            Err(error @ (Error::Denied(_) | Error::Refused(_))) => {
                state.trouble = Some(error.to_string());
            }
            Err(error) if error.is_outage() => {
                state.trouble = Some(error.to_string());
            }
            // Contention says nothing about the database's availability.
            Err(Error::Overloaded) => {}
            // Any other error is a response of the database.
            _ => {
                state.heard = Instant::now();
                state.trouble = None;
            }
        }
        drop(state);
        result
    }

    /// Whether the last call ended in an outage.
    pub(crate) fn in_trouble(&self) -> bool {
        self.0.lock().trouble.is_some()
    }

    /// Returns the time of the last response, if the database has been unreachable since.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        state.trouble.is_some().then_some(state.heard)
    }

    /// Returns the error for a caller that got no connection in time.
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

/// Builds the header of a state.
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
