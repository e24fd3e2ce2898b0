//! State shared by the parts of one driver.

use std::time::{Duration, Instant};

use backend_proto::v1::Header;
use parking_lot::Mutex;
use sidecar::driver::DriverHealth;
use sidecar::head::Head;

use crate::error::Error;
use crate::lineage::Lineage;
use crate::store::{Floor, StoreState};

/// Maximum time until health and every caller report an outage.
pub(crate) const MAX_DETECTION_LATENCY: Duration = Duration::from_secs(5);

/// Time without a response from the database after which changes of other writers may be missed.
/// The log is read at least every 1.25 s, so this allows for a few failed reads.
const STALE_AFTER: Duration = Duration::from_secs(4);

/// Time without contact to the primary after which a server on an earlier timeline may take its
/// place: the disk of an earlier state was restored. Shorter, and a crash of the new primary would
/// lead back to a deposed one.
const PRIMARY_LOST_AFTER: Duration = Duration::from_secs(30);

/// Time after the last write that found the disk full until the driver reports room again. The kit
/// shortens the history meanwhile, which makes room for deletes: they keep the deleted values.
const FULL_FOR: Duration = Duration::from_secs(10);

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
    /// Lineage of the newest primary that was found, and when it was last reachable.
    primary: Lineage,
    primary_seen: Instant,
    /// Time of the last write that found the disk full, unless another succeeded since.
    full: Option<Instant>,
    /// Time of the last response of the database, and the error since.
    last_response: Instant,
    outage: Option<String>,
}

impl Shared {
    pub(crate) fn new(store_state: &StoreState, primary: Lineage) -> Self {
        Self(Mutex::new(State {
            store_id: store_state.store_id.clone(),
            head: store_state.head,
            fenced: store_state.fenced.clone(),
            primary,
            primary_seen: Instant::now(),
            full: None,
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
            primary: (state.primary_seen.elapsed() < PRIMARY_LOST_AFTER)
                .then(|| state.primary.clone()),
        }
    }

    /// Records the lineage of a server that was inspected, or found beside the one in use. If it is
    /// later than that of the primary, the primary has been deposed: its connections end, and the
    /// store is not ready until the new one is inspected.
    pub(crate) fn discover(&self, found: &Lineage) {
        let mut state = self.0.lock();
        if found.is_before(&state.primary) {
            return;
        }
        if state.primary.is_before(found) {
            let (old, new) = (&state.primary.timeline, &found.timeline);
            tracing::warn!(
                old,
                new,
                "a primary on a later timeline was found: reconnecting"
            );
            state.outage = Some(format!(
                "the primary was deposed: another one is on timeline {new}, it is on {old}"
            ));
            state.primary = found.clone();
        }
        if found.system == state.primary.system {
            state.primary_seen = Instant::now();
        }
    }

    /// Records the lineage of the server that is used from now on, after it was inspected.
    pub(crate) fn adopt(&self, primary: &Lineage) {
        let mut state = self.0.lock();
        if !primary.is_before(&state.primary) || state.primary_seen.elapsed() >= PRIMARY_LOST_AFTER
        {
            state.primary.clone_from(primary);
            state.primary_seen = Instant::now();
        }
    }

    /// Whether a server is older than the newest primary.
    pub(crate) fn is_deposed(&self, lineage: &Lineage) -> bool {
        lineage.is_before(&self.0.lock().primary)
    }

    /// Records a state read from the database, and returns its header.
    pub(crate) fn note(&self, store_state: &StoreState) -> Header {
        let mut state = self.0.lock();
        state.last_response = Instant::now();
        state.primary_seen = state.last_response;
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
            Err(error) if error.is_permanent() => {
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
                if matches!(result, Err(Error::NoSpace)) {
                    state.full = Some(state.last_response);
                }
            }
        }
        drop(state);
        result
    }

    /// Records whether a write found room on the disk.
    pub(crate) fn note_room(&self, found: bool) {
        self.0.lock().full = (!found).then(Instant::now);
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
        let full = state.full.is_some_and(|at| at.elapsed() < FULL_FOR);
        match &state.fenced {
            Some(reason) => DriverHealth::Fenced(reason.clone()),
            None if full => DriverHealth::NoSpace(Error::NoSpace.to_string()),
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
    use crate::lineage::Lineage;
    use crate::store::StoreState;

    fn shared() -> Shared {
        let store_state = StoreState {
            store_id: "a".to_owned(),
            head: Head::default(),
            fenced: None,
            importing: false,
            here: true,
        };
        Shared::new(&store_state, lineage("00000002"))
    }

    fn lineage(timeline: &str) -> Lineage {
        Lineage {
            system: "7".to_owned(),
            timeline: timeline.to_owned(),
        }
    }

    #[test]
    fn later_primary_deposes_the_one_in_use() {
        let shared = shared();
        shared.discover(&lineage("00000001"));
        assert_eq!(shared.health(), DriverHealth::Ready);
        assert!(!shared.is_deposed(&lineage("00000002")));
        shared.discover(&lineage("00000003"));
        assert!(matches!(shared.health(), DriverHealth::NotReady(_)));
        assert!(shared.is_deposed(&lineage("00000002")));
        shared.adopt(&lineage("00000002"));
        assert_eq!(shared.floor().primary, Some(lineage("00000003")));
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
