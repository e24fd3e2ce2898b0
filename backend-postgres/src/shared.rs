//! State that the parts of one driver share.

use std::time::{Duration, Instant};

use backend_proto::v1::Header;
use parking_lot::Mutex;
use sidecar::driver::DriverHealth;
use sidecar::head::Head;

use crate::error::Error;
use crate::store::{Floor, Stand};

/// Without an answer of the database for this long, nobody knows what others wrote. The log is read
/// at least every 1.25 s.
const SILENCE: Duration = Duration::from_secs(4);

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

    /// Takes note of how a call to the database ended.
    pub(crate) fn judge<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        let mut state = self.0.lock();
        match &result {
            Err(error) if error.is_outage() || matches!(error, Error::Refused(_)) => {
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
