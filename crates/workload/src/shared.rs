//! State shared by the tasks of a run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::change::Revision;
use crate::client::{CallError, Client, Servers};
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::options::{AfterUnknown, Options, Routing};
use crate::tolerance::Tolerance;

/// Pause after an error that names no other.
const PAUSE: Duration = Duration::from_millis(20);
/// Rejections that are kept; the oldest is dropped when there are more.
const REJECTIONS: usize = 4096;

/// An error that a client received.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Time of arrival.
    pub at: Instant,
    /// The call.
    pub call: Call,
    /// The error.
    pub error: CallError,
}

/// State of a run.
pub(crate) struct Shared {
    pub(crate) servers: Arc<dyn Servers>,
    pub(crate) ledger: Ledger,
    pub(crate) tolerance: Tolerance,
    pub(crate) after_unknown: AfterUnknown,
    pub(crate) routing: Routing,
    max_pause: Duration,
    /// Stops writers and readers.
    pub(crate) stop: CancellationToken,
    /// Revision at which watchers stop, when it is known.
    pub(crate) target: watch::Sender<Option<Revision>>,
    /// While false, clients that got an error wait.
    pub(crate) open: watch::Sender<bool>,
    pub(crate) newest_acknowledged: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    /// Requests that each writer has settled.
    pub(crate) settled: Vec<AtomicU64>,
    /// Longest write, microseconds.
    pub(crate) slowest: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
    rejections: Mutex<VecDeque<Rejection>>,
}

/// A client and its current server.
pub(crate) struct Route {
    shared: Arc<Shared>,
    turn: usize,
    current: Option<(usize, Arc<dyn Client>)>,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(servers: Arc<dyn Servers>, ledger: Ledger, options: &Options) -> Self {
        Self {
            servers,
            ledger,
            tolerance: options.tolerance,
            after_unknown: options.after_unknown,
            routing: options.routing,
            max_pause: options.max_pause,
            settled: options.writers.iter().map(|_| AtomicU64::new(0)).collect(),
            stop: CancellationToken::new(),
            target: watch::Sender::new(None),
            open: watch::Sender::new(true),
            newest_acknowledged: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
            errors: Mutex::default(),
            rejections: Mutex::default(),
        }
    }

    /// Counts an error and records a fault if this run does not justify it; returns whether it is
    /// justified.
    pub(crate) fn justifies(&self, call: Call, error: &CallError) -> bool {
        let name = format!("{call}: {}", error.reason());
        *self.errors.lock().entry(name).or_default() += 1;
        {
            let mut kept = self.rejections.lock();
            if kept.len() == REJECTIONS {
                kept.pop_front();
            }
            kept.push_back(Rejection {
                at: Instant::now(),
                call,
                error: error.clone(),
            });
        }
        let justified = self.tolerance.permits(call, error);
        if !justified {
            let error = error.to_string();
            self.ledger.fault(Fault::Error { call, error });
        }
        justified
    }

    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().clone()
    }

    pub(crate) fn rejections(&self, since: Instant) -> Vec<Rejection> {
        let kept = self.rejections.lock();
        kept.iter().filter(|it| it.at >= since).cloned().collect()
    }

    /// Waits between two reads, or until the run stops.
    pub(crate) async fn rest(&self, pause: Duration) {
        // The caller checks for the stop itself.
        let _ = timeout(pause, self.stop.cancelled()).await;
    }

    /// Waits after an error: as long as the server says, and while clients are held.
    async fn pause(&self, error: &CallError) {
        let pause = match error {
            CallError::Retry {
                after: Some(after), ..
            } => (*after).clamp(PAUSE, self.max_pause.max(PAUSE)),
            _ => PAUSE,
        };
        tokio::time::sleep(pause).await;
        let mut open = self.open.subscribe();
        // The sender lives in `self`, so the channel cannot close.
        let _ = open.wait_for(|open| *open).await;
    }
}

// === impl Route ===

impl Route {
    pub(crate) fn new(shared: &Arc<Shared>, turn: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            turn,
            current: None,
        }
    }

    /// The current server and a client of it.
    pub(crate) async fn client(&mut self) -> (usize, Arc<dyn Client>) {
        if let Some(current) = &self.current {
            return current.clone();
        }
        let connected = self.shared.servers.connect(self.turn).await;
        self.current.insert(connected).clone()
    }

    /// Goes to the next server before a write, if the run says so.
    pub(crate) fn before_write(&mut self) {
        if self.shared.routing == Routing::NextForEachWrite {
            self.turn += 1;
            self.current = None;
        }
    }

    /// Pauses after an error, and reconnects for the next call.
    pub(crate) async fn after(&mut self, error: &CallError) {
        self.current = None;
        if self.shared.routing != Routing::Pinned {
            self.turn += 1;
        }
        self.shared.pause(error).await;
    }
}
