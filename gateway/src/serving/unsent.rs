//! Unsent bytes of responses: limits, accounting, and timeouts of clients that do not read.
//!
//! Every piece of a response is charged to the connection, the user and the server until its last
//! byte is written to the socket. A response without room waits if it is produced while it is sent,
//! otherwise it is rejected with 429. A client that reads nothing for [`UnsentLimits::stall`] loses
//! its stream; while other responses need room, after [`UnsentLimits::stall_under_pressure`].

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

/// Limits of unsent bytes, and their timeouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsentLimits {
    /// Bytes of all connections. 64 MiB: with the bodies of requests
    /// ([`super::intake::BodyLimits`], 160 MiB) it stays below the 256 MiB that clients may cost
    /// beyond the objects.
    pub total: usize,
    /// Bytes of one connection. Half of the total: a kube-apiserver in front sends the requests of
    /// all users over one connection.
    pub connection: usize,
    /// Bytes of one user over all connections. Less than the limit of a connection, so that one
    /// user behind a front proxy cannot exhaust it.
    pub user: usize,
    /// How long a client may read nothing of a waiting response. Two of these fit into the 60 s
    /// timeout of a request.
    pub stall: Duration,
    /// The same while another response of the connection, of the user or of the server waits for
    /// room.
    pub stall_under_pressure: Duration,
}

/// Size of a response piece that is always accepted on a connection without unsent bytes,
/// regardless of other clients: a chunk of a list (128 KiB) and the object that exceeds it.
const PIECE: usize = 192 << 10;
/// Poll interval of a response that waits for room.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(50);
/// How long a lack of room counts as pressure.
const PRESSURE: Duration = Duration::from_secs(5);
/// A connection closes this much later than its last stalled stream: streams are reset first.
const CONNECTION_GRACE: Duration = Duration::from_secs(5);
/// Accounts of users before the map is searched for unused ones.
const USERS: usize = 256;

/// The unsent bytes of a server; clones share them.
#[derive(Debug, Clone)]
pub struct Unsent(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: UnsentLimits,
    total: Account,
    users: Mutex<Users>,
    /// Number of connections so far.
    connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Users {
    known: HashMap<Box<str>, Weak<Account>>,
    /// Size of the map at which it is searched for unused accounts.
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

/// Running requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Seats {
    pub(super) requests: AtomicUsize,
    pub(super) watches: AtomicUsize,
}

/// The reader of a response: a user on a connection.
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
    /// An empty account.
    #[must_use]
    pub fn new(limits: UnsentLimits) -> Self {
        Self(Arc::new(Shared {
            limits,
            total: Account::new(limits.total),
            users: Mutex::default(),
            connections: AtomicU64::new(0),
        }))
    }

    /// The account of a new connection.
    #[must_use]
    pub fn connect(&self) -> Outlet {
        Outlet {
            unsent: self.clone(),
            number: self.0.connections.fetch_add(1, Ordering::Relaxed),
            connection: Arc::new(Account::new(self.0.limits.connection)),
            seats: Arc::default(),
        }
    }

    /// Current unsent bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.total.bytes()
    }

    /// The account of a user, shared by all connections.
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

    /// Counters of the running requests of this connection.
    pub(super) fn seats(&self) -> Arc<Seats> {
        Arc::clone(&self.seats)
    }

    /// How long the socket may accept no byte of pending output.
    #[must_use]
    pub fn stall(&self) -> Duration {
        self.unsent.0.limits.stall
    }

    /// Returns when the client has read nothing for longer than its timeout while bytes are unsent.
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
    /// Charges existing bytes.
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
        // A client that reads is served regardless of others, and a user without unsent bytes may
        // use any remaining room.
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

    /// Whether another piece may be produced for a response that is charged with `retained` bytes
    /// itself.
    fn has_room(&self, retained: usize) -> bool {
        if self.outlet.connection.bytes() <= retained {
            return true;
        }
        let full = self.accounts().into_iter().find(|account| account.full());
        full.inspect(|account| account.press()).is_none()
    }

    /// The read timeout of this client.
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
    /// Interval of checks for stalled clients.
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
