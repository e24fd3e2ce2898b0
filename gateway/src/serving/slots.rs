//! Connection slots: a bounded number of clients with and without a valid certificate.
//!
//! Clients without a certificate cannot take the slots of clients with one. If the slots without
//! certificate are taken, a new connection is not rejected but evicts a connection of the address
//! that has the most. So a client that authenticates gets in, regardless of how many idle
//! connections others open.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Bounds;
use super::activity::{Activity, Stage};

/// Evicted connections that may still be closing while new ones are accepted; part of the reserve
/// of descriptors.
const CLOSING: usize = 32;
/// Connections of an address that are compared to evict one: accepting a connection must not cost
/// more than its handshake.
const EXAMINED: usize = 16;

/// An address, reduced to the part that distinguishes clients: an IPv6 client usually has 2⁶⁴
/// addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(u128);

/// The slots of a server.
#[derive(Debug)]
pub(super) struct Slots {
    /// Open sockets; evicted ones count until they are closed.
    sockets: Arc<Semaphore>,
    pools: Mutex<Pools>,
}

/// The slot of one connection; released when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    id: u64,
    pub(super) origin: Origin,
    pub(super) activity: Arc<Activity>,
    authenticated: bool,
}

/// All slots for clients with a valid certificate are taken by connections with open requests.
#[derive(Debug)]
pub(super) struct Full;

#[derive(Debug)]
struct Pools {
    last_id: u64,
    unauthenticated: Pool,
    authenticated: Pool,
}

#[derive(Debug)]
struct Pool {
    bound: usize,
    taken: usize,
    by_origin: HashMap<Origin, BTreeMap<u64, Arc<Activity>>>,
}

impl Slots {
    pub(super) fn new(bounds: &Bounds) -> Arc<Self> {
        let pool = |bound| Pool {
            bound,
            taken: 0,
            by_origin: HashMap::new(),
        };
        Arc::new(Self {
            sockets: Arc::new(Semaphore::new(bounds.connections + CLOSING)),
            pools: Mutex::new(Pools {
                last_id: 0,
                unauthenticated: pool(bounds.unauthenticated),
                authenticated: pool(bounds.connections.saturating_sub(bounds.unauthenticated)),
            }),
        })
    }

    /// The slot of a new connection; evicts another connection if none is free.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Slot {
        let origin = Origin::of(address);
        let activity = Arc::new(Activity::new());
        let mut pools = self.pools.lock();
        pools.last_id += 1;
        let id = pools.last_id;
        let pool = &mut pools.unauthenticated;
        pool.insert(origin, id, &activity);
        // Checked after counting the new connection, because its own address may have the most.
        if pool.taken > pool.bound {
            pool.evict(Some(id));
        }
        Slot {
            slots: Arc::clone(self),
            id,
            origin,
            activity,
            authenticated: false,
        }
    }

    /// Waits for room for the socket of an admitted connection, until evicted connections are
    /// closed.
    pub(super) async fn socket(&self) -> Option<OwnedSemaphorePermit> {
        self.sockets.clone().acquire_owned().await.ok()
    }

    /// Evicts one client without a valid certificate, because descriptors are exhausted.
    pub(super) fn shed(&self) {
        self.pools.lock().unauthenticated.evict(None);
    }
}

impl Slot {
    /// Takes a slot for clients with a valid certificate; evicts an idle connection if necessary.
    pub(super) fn authenticate(&mut self) -> Result<(), Full> {
        let mut pools = self.slots.pools.lock();
        pools.unauthenticated.remove(self.origin, self.id);
        let pool = &mut pools.authenticated;
        if pool.taken >= pool.bound && !pool.evict(None) {
            return Err(Full);
        }
        self.activity.reached(Stage::Authenticated);
        self.authenticated = true;
        pool.insert(self.origin, self.id, &self.activity);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut pools = self.slots.pools.lock();
        let pool = if self.authenticated {
            &mut pools.authenticated
        } else {
            &mut pools.unauthenticated
        };
        pool.remove(self.origin, self.id);
    }
}

impl Pool {
    fn insert(&mut self, origin: Origin, id: u64, activity: &Arc<Activity>) {
        let connections = self.by_origin.entry(origin).or_default();
        connections.insert(id, Arc::clone(activity));
        self.taken += 1;
    }

    /// Does nothing if the slot was already removed.
    fn remove(&mut self, origin: Origin, id: u64) -> Option<Arc<Activity>> {
        let connections = self.by_origin.get_mut(&origin)?;
        let removed = connections.remove(&id)?;
        if connections.is_empty() {
            self.by_origin.remove(&origin);
        }
        self.taken -= 1;
        Some(removed)
    }

    /// Evicts the oldest connection of the lowest rank, of the address that has the most.
    fn evict(&mut self, newcomer: Option<u64>) -> bool {
        let oldest = |connections: &BTreeMap<u64, Arc<Activity>>| {
            let others = connections.iter().filter(|(id, _)| newcomer != Some(**id));
            let ranked = others.filter_map(|(id, activity)| Some((activity.rank()?, *id)));
            ranked.take(EXAMINED).min()
        };
        let busiest = self.by_origin.iter().max_by_key(|(_, connections)| {
            let first = connections.first_key_value().map(|(id, _)| *id);
            (connections.len(), Reverse(first))
        });
        let victim = busiest
            .and_then(|(origin, connections)| Some((*origin, oldest(connections)?.1)))
            // Every connection of that address has an open request.
            .or_else(|| {
                let all = self.by_origin.iter();
                let each = all.filter_map(|(origin, it)| Some((oldest(it)?, *origin)));
                each.min_by_key(|(rank, _)| *rank)
                    .map(|((_, id), origin)| (origin, id))
            });
        let Some((origin, id)) = victim else {
            return false;
        };
        if let Some(evicted) = self.remove(origin, id) {
            evicted.evicted.cancel();
        }
        true
    }
}

impl Origin {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            // The upper half is 0 for ::1 only, which is one client as well.
            IpAddr::V6(address) => ((u128::from(address) >> 64) << 64) | (1 << 63),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn slots(connections: usize, unauthenticated: usize) -> Arc<Slots> {
        Slots::new(&Bounds {
            connections,
            unauthenticated,
            ..Bounds::of_descriptors(0)
        })
    }

    fn admit(slots: &Arc<Slots>, address: &str) -> Slot {
        slots.admit(address.parse().unwrap())
    }

    fn evicted<const N: usize>(slots: [&Slot; N]) -> [bool; N] {
        slots.map(|slot| slot.activity.evicted.is_cancelled())
    }

    #[test]
    fn new_connection_evicts_oldest_of_busiest_address() {
        let slots = slots(8, 3);
        let alone = admit(&slots, "10.0.0.1");
        let [a, b, c] = [(); 3].map(|()| admit(&slots, "2001:db8::1"));
        assert_eq!(evicted([&alone, &a, &b, &c]), [false, true, false, false]);
        // Another address of the same /64 network.
        let d = admit(&slots, "2001:db8::2");
        assert_eq!(evicted([&alone, &b, &c, &d]), [false, true, false, false]);
        // No address has more than another, so the oldest is evicted.
        drop((a, b, c));
        let e = admit(&slots, "::ffff:10.0.0.2");
        let f = admit(&slots, "10.0.0.3");
        assert_eq!(evicted([&alone, &d, &e, &f]), [true, false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn handshaking_clients_are_evicted_last() {
        let slots = slots(8, 3);
        let [silent, slow] = [(); 2].map(|()| admit(&slots, "10.0.0.1"));
        slow.activity.reached(Stage::Handshaking);
        tokio::time::advance(Duration::from_secs(1)).await;
        let unauthenticated = admit(&slots, "10.0.0.1");
        unauthenticated.activity.reached(Stage::Unauthenticated);
        let order = [&silent, &slow, &unauthenticated];
        let newcomers = [(); 4].map(|()| {
            let newcomer = admit(&slots, "10.0.0.1");
            newcomer.activity.reached(Stage::Handshaking);
            (newcomer, evicted(order))
        });
        let [(first, a), (second, b), (third, c), (fourth, _)] = &newcomers;
        assert_eq!(*a, [true, false, false]);
        assert_eq!(*b, [true, true, false]);
        assert_eq!(*c, [true, true, true]);
        let newcomers = [first, second, third, fourth];
        assert_eq!(evicted(newcomers), [true, false, false, false]);
        slots.shed();
        assert_eq!(evicted(newcomers), [true, true, false, false]);
    }

    #[test]
    fn authenticated_slots_are_reserved() {
        let slots = slots(4, 2);
        let known = [(); 2].map(|()| {
            let mut slot = admit(&slots, "10.0.0.1");
            slot.authenticate().unwrap();
            slot
        });
        let [a, b, c] = [(); 3].map(|()| admit(&slots, "10.0.0.1"));
        assert_eq!(evicted([&known[0], &known[1]]), [false, false]);
        assert_eq!(evicted([&a, &b, &c]), [true, false, false]);
        // An idle connection is evicted, a busy one is not.
        let busy = known[0].activity.begin();
        let mut newcomer = admit(&slots, "10.0.0.2");
        newcomer.authenticate().unwrap();
        assert_eq!(evicted([&known[0], &known[1]]), [false, true]);
        let also_busy = newcomer.activity.begin();
        assert!(admit(&slots, "10.0.0.3").authenticate().is_err());
        drop((busy, also_busy));
        assert!(admit(&slots, "10.0.0.3").authenticate().is_ok());
    }
}
