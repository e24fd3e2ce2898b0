//! State shared by the parts of one driver.

use std::time::{Duration, Instant};

use backend_proto::v1::Header;
use parking_lot::Mutex;
use sidecar::driver::DriverHealth;
use sidecar::head::Head;

use crate::error::Error;
use crate::store::{Floor, StoreState};

/// Maximum time until health and every caller report an outage.
pub(crate) const MAX_DETECTION_LATENCY: Duration = Duration::from_secs(5);

/// Time without a response from the database after which changes of other writers may be missed.
/// The log is read at least every 1.25 s, so this allows for a few failed reads.
const STALE_AFTER: Duration = Duration::from_secs(4);

/// Interval at which the kit polls the health.
const HEALTH_POLL_INTERVAL: Duration = Duration::from_millis(500);
const _: () = assert!(
    STALE_AFTER.as_millis() + HEALTH_POLL_INTERVAL.as_millis() < MAX_DETECTION_LATENCY.as_millis()
);

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
    last_response: Instant,
    outage: Option<String>,
}

impl Shared {
    pub(crate) fn new(store_state: &StoreState) -> Self {
        Self(Mutex::new(State {
            store_id: store_state.store_id.clone(),
            head: store_state.head,
            fenced: store_state.fenced.clone(),
            last_response: Instant::now(),
            outage: None,
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
    pub(crate) fn note(&self, store_state: &StoreState) -> Header {
        let mut state = self.0.lock();
        state.last_response = Instant::now();
        state.outage = None;
        state.fenced.clone_from(&store_state.fenced);
        if state.store_id == store_state.store_id {
            state.head = state.head.max(store_state.head);
        } else {
            // Another process imported a store.
            state.store_id.clone_from(&store_state.store_id);
            state.head = store_state.head;
        }
        drop(state);
        header(store_state)
    }

    /// Records the result of a database call that began at `begun`.
    pub(crate) fn record<T>(&self, begun: Instant, result: Result<T, Error>) -> Result<T, Error> {
        let mut state = self.0.lock();
        match &result {
            // Another call succeeded since this one began: this failure does not indicate an
            // outage.
            Err(error) if error.is_outage() && state.last_response > begun => {}
            Err(error @ (Error::Denied(_) | Error::Refused(_))) => {
                state.outage = Some(error.to_string());
            }
            Err(error) if error.is_outage() => {
                state.outage = Some(error.to_string());
            }
            // Contention says nothing about the database's availability.
            Err(Error::Overloaded) => {}
            // Any other error is a response of the database.
            _ => {
                state.last_response = Instant::now();
                state.outage = None;
            }
        }
        drop(state);
        result
    }

    /// Whether the last call ended in an outage.
    pub(crate) fn in_outage(&self) -> bool {
        self.0.lock().outage.is_some()
    }

    /// Returns the time of the last response, if the database has been unreachable since.
    pub(crate) fn unreachable_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        state.outage.is_some().then_some(state.last_response)
    }

    /// Returns the error for a caller that got no connection in time.
    pub(crate) fn no_connection(&self) -> Error {
        match &self.0.lock().outage {
            Some(outage) => Error::Unreachable(outage.clone()),
            None => Error::Overloaded,
        }
    }

    pub(crate) fn fenced(&self) -> Option<String> {
        self.0.lock().fenced.clone()
    }

    pub(crate) fn health(&self) -> DriverHealth {
        let state = self.0.lock();
        if let Some(outage) = &state.outage {
            return DriverHealth::NotReady(outage.clone());
        }
        if state.last_response.elapsed() > STALE_AFTER {
            return DriverHealth::NotReady("the database does not answer".to_owned());
        }
        match &state.fenced {
            Some(reason) => DriverHealth::Fenced(reason.clone()),
            None => DriverHealth::Ready,
        }
    }
}

/// Builds the header of a state.
pub(crate) fn header(store_state: &StoreState) -> Header {
    store_state.head.header(store_state.store_id.clone())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use sidecar::driver::DriverHealth;
    use sidecar::head::Head;

    use super::Shared;
    use crate::error::Error;
    use crate::store::StoreState;

    fn shared() -> Shared {
        Shared::new(&StoreState {
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
    fn lost_call_is_no_outage_if_others_succeed() {
        let shared = shared();
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        shared.record(Instant::now(), Ok(())).expect("an answer");
        shared.record(begun, lost()).expect_err("its own error");
        assert_eq!(shared.health(), DriverHealth::Ready);
        assert_eq!(shared.unreachable_since(), None);
    }

    #[test]
    fn lost_call_is_an_outage_until_another_succeeds() {
        let shared = shared();
        std::thread::sleep(Duration::from_millis(1));
        shared.record(Instant::now(), lost()).expect_err("an error");
        assert!(matches!(shared.health(), DriverHealth::NotReady(_)));
        assert!(shared.unreachable_since().is_some());
        shared.record(Instant::now(), Ok(())).expect("an answer");
        assert_eq!(shared.health(), DriverHealth::Ready);
    }
}
