//! Turns of writers that contend for one object.
//!
//! The first attempt of a write takes no lock: the backend compares revisions. If a hundred writers
//! try the same object at once, one succeeds and the work of all others is lost, each time.
//! Therefore a write waits for a turn at the object after its first conflict, and so does every
//! other write while a turn is held or awaited. Writers of other replicas conflict in the backend
//! only.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

use crate::store::{ObjectKey, ResourceId};

/// Number of entries at which objects without writers are removed from the map.
const OBJECTS: usize = 256;

/// Objects with several writers.
#[derive(Debug, Default)]
pub(super) struct Contention(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    known: HashMap<(ResourceId, ObjectKey), Weak<Turns<()>>>,
    search_at: usize,
}

/// A turn at an object, until dropped.
#[derive(Debug)]
pub(super) struct Turn {
    /// Whether the turn was awaited, so that others may have written since the conflict.
    pub(super) waited: bool,
    _turn: OwnedMutexGuard<()>,
}

impl Contention {
    /// Waits for a turn, in order of arrival. The deadline of the request bounds the wait.
    pub(super) async fn turn(&self, resource: &ResourceId, key: ObjectKey) -> Turn {
        let turns = self.0.lock().of((resource.clone(), key));
        Turn::at(turns).await
    }

    /// As [`Self::turn`] for a contended object; none for any other.
    pub(super) async fn turn_if_contended(
        &self,
        resource: &ResourceId,
        key: ObjectKey,
    ) -> Option<Turn> {
        let turns = {
            let objects = self.0.lock();
            // Avoids copying the key while nothing is contended.
            if objects.known.is_empty() {
                return None;
            }
            let turns = objects.known.get(&(resource.clone(), key));
            turns.and_then(Weak::upgrade)?
        };
        Some(Turn::at(turns).await)
    }
}

impl Turn {
    async fn at(turns: Arc<Turns<()>>) -> Self {
        match Arc::clone(&turns).try_lock_owned() {
            Ok(turn) => Self {
                waited: false,
                _turn: turn,
            },
            Err(_) => Self {
                waited: true,
                _turn: turns.lock_owned().await,
            },
        }
    }
}

impl Objects {
    fn of(&mut self, object: (ResourceId, ObjectKey)) -> Arc<Turns<()>> {
        if let Some(turns) = self.known.get(&object).and_then(Weak::upgrade) {
            return turns;
        }
        if self.known.len() >= self.search_at.max(OBJECTS) {
            self.known.retain(|_, turns| turns.strong_count() > 0);
            self.search_at = 2 * self.known.len();
        }
        let turns = Arc::default();
        self.known.insert(object, Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn contended_writers_take_turns_and_other_objects_do_not_wait() {
        let contention = Contention::default();
        let resource = ResourceId::new("g", "foos");
        let key = |name: &str| ObjectKey::new("ns", name);
        let first = contention.turn(&resource, key("a")).await;
        assert!(!first.waited);
        assert!(!contention.turn(&resource, key("b")).await.waited);
        let free = contention.turn_if_contended(&resource, key("b")).await;
        assert!(free.is_none());
        let mut waiting = Box::pin(contention.turn_if_contended(&resource, key("a")));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        let mut second = Box::pin(contention.turn(&resource, key("a")));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.await.waited);
        for number in 0..10 * OBJECTS {
            contention.turn(&resource, key(&number.to_string())).await;
        }
        assert!(contention.0.lock().known.len() <= OBJECTS);
    }
}
