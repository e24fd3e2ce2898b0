//! Bytes of answers that clients have not read yet: how many there may be, whose they are, and when
//! they are given up.
//!
//! Every piece of an answer is charged to the connection, to the user and to the server from the
//! moment it exists until the last byte of it has been written to the socket. An answer that finds no
//! room waits if it is made while it is read, else it is refused with 429. A reader that takes nothing for
//! [`UnsentLimits::stall`] loses its stream; where somebody needs the room it loses it after
//! [`UnsentLimits::stall_under_pressure`].

mod charge;
mod pace;
mod watched;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

pub use charge::Charge;
pub(crate) use pace::{Extent, Pace, Window};
pub(crate) use watched::watch_over;
pub use watched::watched;

use charge::Account;

/// How much may be unsent, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsentLimits {
    /// Bytes of all connections together. 64 MiB: with the bodies of requests
    /// ([`super::intake::BodyLimits`], 160 MiB) it stays below the 256 MiB that clients may cost beyond the
    /// objects.
    pub total: usize,
    /// Bytes of one connection. Half of all: a kube-apiserver in front sends the requests of all
    /// users over one connection.
    pub connection: usize,
    /// Bytes of one user, over all connections. Less than those of a connection, so that a user behind a
    /// front proxy cannot take the whole of it.
    pub user: usize,
    /// How long a client may take nothing of an answer that waits for it. Two of them fit into the minute
    /// that a request may take.
    pub stall: Duration,
    /// The same while an answer of the same connection, of the same user, or any answer has found no room.
    pub stall_under_pressure: Duration,
}

/// What one piece of a list may have and still go to a connection that owes nothing, whatever others owe:
/// a piece as it is made (128 KiB), and the object that goes beyond it.
const PIECE: usize = 192 << 10;
/// How often an answer that is made while it is read looks for room.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(50);
/// How long the want of room is remembered.
const PRESSURE: Duration = Duration::from_secs(5);
/// A connection outlives its last stalled stream by this much: resetting streams comes first.
const CONNECTION_GRACE: Duration = Duration::from_secs(5);
/// Users that are kept before those are looked for who are gone.
const USERS: usize = 256;

/// The unsent bytes of a server; clones share them.
#[derive(Debug, Clone)]
pub struct Unsent(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: UnsentLimits,
    total: Account,
    users: Mutex<Users>,
    /// How many there were.
    connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Users {
    known: HashMap<Box<str>, Weak<Account>>,
    /// How many may be known before the map is searched for users who are gone.
    prune_at: usize,
}

/// The unsent bytes of one connection; clones share them.
#[derive(Debug, Clone)]
pub struct Outlet {
    unsent: Unsent,
    /// Identifies the connection.
    number: u64,
    connection: Arc<Account>,
    seats: Arc<Seats>,
}

/// What runs on a connection.
#[derive(Debug, Default)]
pub(super) struct Seats {
    pub(super) requests: AtomicUsize,
    pub(super) watches: AtomicUsize,
}

/// Who reads an answer: a user over a connection.
#[derive(Debug, Clone)]
pub struct Reader {
    outlet: Outlet,
    user: Arc<Account>,
}

impl Default for UnsentLimits {
    fn default() -> Self {
        Self {
            total: 64 << 20,
            connection: 32 << 20,
            user: 24 << 20,
            stall: Duration::from_secs(30),
            stall_under_pressure: Duration::from_secs(2),
        }
    }
}

impl Unsent {
    /// Nothing is unsent yet.
    #[must_use]
    pub fn new(limits: UnsentLimits) -> Self {
        Self(Arc::new(Shared {
            limits,
            total: Account::new(limits.total),
            users: Mutex::default(),
            connections: AtomicU64::new(0),
        }))
    }

    /// A connection that owes nothing yet.
    #[must_use]
    pub fn connect(&self) -> Outlet {
        Outlet {
            unsent: self.clone(),
            number: self.0.connections.fetch_add(1, Ordering::Relaxed),
            connection: Arc::new(Account::new(self.0.limits.connection)),
            seats: Arc::default(),
        }
    }

    /// Bytes that are unsent now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.total.bytes()
    }

    /// What every user owes, found again by name.
    fn user(&self, name: &str) -> Arc<Account> {
        let mut users = self.0.users.lock();
        if let Some(known) = users.known.get(name).and_then(Weak::upgrade) {
            return known;
        }
        if users.known.len() >= users.prune_at.max(USERS) {
            users.known.retain(|_, account| account.strong_count() > 0);
            users.prune_at = users.known.len() * 2;
        }
        let account = Arc::new(Account::new(self.0.limits.user));
        users.known.insert(name.into(), Arc::downgrade(&account));
        account
    }
}

impl Outlet {
    /// A user who reads over this connection.
    #[must_use]
    pub fn reader(&self, user: &str) -> Reader {
        Reader {
            outlet: self.clone(),
            user: self.unsent.user(user),
        }
    }

    /// The number of the connection, by which requests take turns.
    #[must_use]
    pub const fn connection_number(&self) -> u64 {
        self.number
    }

    /// Counts the requests of this connection that run.
    pub(super) fn seats(&self) -> Arc<Seats> {
        Arc::clone(&self.seats)
    }

    /// How long the socket may take no byte of what is to be written.
    #[must_use]
    pub fn stall(&self) -> Duration {
        self.unsent.0.limits.stall
    }

    /// Returns when the client has taken nothing for too long of what the connection owes.
    pub async fn stalled(&self) {
        let limits = &self.unsent.0.limits;
        let accounts = [&*self.connection, &self.unsent.0.total];
        loop {
            sleep(limits.tick()).await;
            let longest = limits.stall_timeout(&accounts) + CONNECTION_GRACE.min(limits.stall);
            let owes = self.connection.bytes() > 0;
            if owes && self.connection.idle(Instant::now()) >= longest {
                return;
            }
        }
    }
}

impl Reader {
    /// Charges bytes that are there.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Charge {
        Charge::new(self.clone(), bytes)
    }

    /// Charges bytes if there is room for them.
    #[must_use]
    pub fn try_charge(&self, bytes: usize) -> Option<Charge> {
        let idle = self.outlet.connection.bytes() == 0;
        let alone = idle && self.user.bytes() == 0 && !self.outlet.unsent.0.total.full();
        let charge = self.charge(bytes);
        // A client that reads must get in whatever others do, and a user who owes nothing gets whatever there is.
        if alone || idle && bytes <= PIECE {
            return Some(charge);
        }
        let full = self.accounts().into_iter().find(|account| account.full());
        match full {
            None => Some(charge),
            Some(full) => {
                full.press();
                None
            }
        }
    }

    /// Whether a further piece may be made of an answer that is charged with so many bytes itself.
    fn has_room(&self, kept: usize) -> bool {
        if self.outlet.connection.bytes() <= kept {
            return true;
        }
        let full = self.accounts().into_iter().find(|account| account.full());
        full.inspect(|account| account.press()).is_none()
    }

    /// How long this reader may take nothing.
    fn stall_timeout(&self) -> Duration {
        self.limits().stall_timeout(&self.accounts())
    }

    fn accounts(&self) -> [&Account; 3] {
        let Outlet {
            unsent, connection, ..
        } = &self.outlet;
        [connection, &self.user, &unsent.0.total]
    }

    fn limits(&self) -> &UnsentLimits {
        &self.outlet.unsent.0.limits
    }
}

impl UnsentLimits {
    /// How often it is looked whether a reader has stalled.
    fn tick(&self) -> Duration {
        self.stall_under_pressure / 2
    }

    fn stall_timeout(&self, accounts: &[&Account]) -> Duration {
        if accounts.iter().any(|account| account.pressed()) {
            self.stall_under_pressure
        } else {
            self.stall
        }
    }
}

#[cfg(test)]
mod tests;
