//! The interface to a server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::change::{Event, Key, Kind, Listing, Object, Revision};

/// A connection to one server. Every call has a deadline of its own.
#[async_trait]
pub trait Client: Send + Sync {
    /// Sends writes in one request, if the protocol permits several; returns one result for each.
    ///
    /// # Errors
    /// If the request failed. The outcome of every write is then unknown.
    async fn write(&self, writes: &[Write]) -> Result<Vec<Result<Applied, CallError>>, CallError>;

    /// Reads the newest object of a key.
    ///
    /// # Errors
    /// If the request failed.
    async fn read(&self, key: &Key) -> Result<Option<Object>, CallError>;

    /// Lists all objects of the workload.
    ///
    /// # Errors
    /// If the request failed or its response violates the protocol.
    async fn list(&self) -> Result<Listing, CallError>;

    /// Reads the newest revision of the store.
    ///
    /// # Errors
    /// If the request failed.
    async fn head(&self) -> Result<Head, CallError>;

    /// Watches all changes of the workload's objects after a revision.
    ///
    /// # Errors
    /// If the watch was rejected.
    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>, CallError>;
}

/// An open watch.
#[async_trait]
pub trait Watch: Send {
    /// The next events. Dropping the future loses no event.
    ///
    /// # Errors
    /// If the watch ended.
    async fn next(&mut self) -> Result<Batch, CallError>;
}

/// The servers that clients may use.
#[async_trait]
pub trait Servers: Send + Sync {
    /// Opens a connection to the server whose turn it is, or to the next one that is up; returns
    /// the index of the server.
    async fn connect(&self, turn: usize) -> (usize, Arc<dyn Client>);

    /// Number of servers.
    fn count(&self) -> usize;
}

/// Servers that never change, each with one client.
pub struct Fixed(Vec<Arc<dyn Client>>);

/// A write with a condition on the stored revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Identifies the write in protocols that recognize a repetition.
    pub id: [u8; 16],
    /// Written key.
    pub key: Key,
    /// What it does.
    pub action: Action,
    /// Unique number of its content; for a deletion the number of the deleted content.
    pub number: u64,
    /// Number of the writer and of its operation, for protocols that store origins.
    pub origin: (usize, u64),
}

/// Action of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Creates an object.
    Create,
    /// Replaces an object at a revision.
    Replace(Revision),
    /// Changes a part of an object, at a revision if there is one.
    Patch(Option<Revision>),
    /// Deletes an object at a revision.
    Delete(Revision),
}

/// Response to a write that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Revision of the change, if the response has it.
    pub revision: Option<Revision>,
    /// Digest of the stored object, if the response has it.
    pub digest: Option<u64>,
    /// Origin that was sent, if the protocol stores it.
    pub author: Option<Arc<str>>,
    /// Whether the response says that the write had been applied before.
    pub repeated: bool,
}

/// Newest state of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Newest revision.
    pub revision: Revision,
    /// Epoch and compact revision, in protocols that have them.
    pub epoch: Option<(Revision, Revision)>,
}

/// Events of one message of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In order of revision.
    pub events: Vec<Event>,
    /// Revision up to which everything was sent.
    pub up_to_revision: Revision,
}

/// Reason why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The connection failed, or there was no response in time.
    #[error("connection failed: {0}")]
    Broken(String),
    /// The server ended a watch in order; the client resumes it.
    #[error("the watch ended")]
    Ended,
    /// The server asks for a retry.
    #[error("{reason}: {message}")]
    Retry {
        /// Name of the reason or status.
        reason: String,
        /// Message of the server.
        message: String,
        /// When to retry, if the server says so.
        after: Option<Duration>,
        /// Whether the server says that nothing was applied.
        not_applied: bool,
    },
    /// The revision of a watch is no longer available: list again.
    #[error("{reason}: {message}")]
    Expired {
        /// Name of the reason or status.
        reason: String,
        /// Message of the server.
        message: String,
    },
    /// The condition of a write does not hold.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Any other error.
    #[error("{0}")]
    Rejected(String),
    /// The response violates the protocol.
    #[error("{0}")]
    Violation(String),
}

// === impl Fixed ===

impl Fixed {
    /// Wraps one client for each server.
    #[must_use]
    pub fn new(clients: Vec<Arc<dyn Client>>) -> Self {
        Self(clients)
    }
}

#[async_trait]
impl Servers for Fixed {
    async fn connect(&self, turn: usize) -> (usize, Arc<dyn Client>) {
        let index = turn % self.0.len();
        (index, Arc::clone(&self.0[index]))
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

// === impl Write ===

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.action.kind();
        write!(f, "{kind} of {} (write {})", self.key, self.number)
    }
}

// === impl Action ===

impl Action {
    /// Kind of the change that it makes.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Create => Kind::Created,
            Self::Replace(_) | Self::Patch(_) => Kind::Updated,
            Self::Delete(_) => Kind::Deleted,
        }
    }
}

// === impl CallError ===

impl CallError {
    /// Name of the reason, for counts.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Broken(_) => "untyped",
            Self::Ended => "ended",
            Self::Retry { reason, .. } | Self::Expired { reason, .. } => reason,
            Self::Conflict(_) => "conflict",
            Self::Rejected(_) => "rejected",
            Self::Violation(_) => "violation",
        }
    }

    /// Whether a write that failed with it is known not to be applied.
    #[must_use]
    pub const fn is_not_applied(&self) -> bool {
        match self {
            Self::Retry { not_applied, .. } => *not_applied,
            Self::Conflict(_) | Self::Rejected(_) => true,
            Self::Broken(_) | Self::Ended | Self::Expired { .. } | Self::Violation(_) => false,
        }
    }
}
