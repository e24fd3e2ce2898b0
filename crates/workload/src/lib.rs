//! A workload for servers that are killed, moved or restored: writers and watchers, a ledger of
//! everything that they observe, and a verdict on it.
//!
//! [`Client`] is the only interface to a server. It is implemented over the Backend protocol by
//! `conformance`, whose client validates every message, and over the Kubernetes API by
//! [`http`]. [`Workload`] runs the clients; [`History`] records their observations;
//! [`verdict::judge`] finds every violated [`Guarantee`].
//!
//! Invariants:
//! - a key has one writer, so that its writer knows the state of the key, and a conflict without a
//!   reason is a fault;
//! - a write is identified by key, kind and number, so that every event has exactly one write, or
//!   is a fault;
//! - history and verdict are data: the tests of [`verdict`] build faulty histories.

pub mod call;
pub mod change;
pub mod client;
pub mod fault;
pub mod history;
#[cfg(feature = "http")]
pub mod http;
pub mod ledger;
pub mod options;
pub mod script;
pub mod tolerance;
pub mod verdict;

mod reader;
mod run;
mod shared;
mod watcher;
mod writer;

pub use call::Call;
pub use change::{Event, Key, Kind, Listing, Object, Revision};
pub use client::{Action, Applied, Batch, CallError, Client, Fixed, Head, Servers, Watch, Write};
pub use fault::{Fault, Guarantee};
pub use history::{Attempt, History, Outcome, WatchLog};
pub use ledger::Ledger;
pub use options::{AfterUnknown, Options, Pace, Routing};
pub use run::{RunError, Workload};
pub use script::{Script, Step};
pub use shared::Rejection;
pub use tolerance::Tolerance;
pub use verdict::{Epochs, Verdict};
