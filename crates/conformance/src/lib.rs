//! Conformance suite of the storage contract `ark.backend.v1`, for any driver.
//!
//! [`cases::all`] lists every rule of the contract; [`suite::run`] tests them over a driver's
//! endpoint; [`crash::run`] kills a driver under load and checks the result. [`ModelDriver`] stores
//! everything in memory; it tests the suite itself, and is the example for authors of drivers.
//!
//! Invariants:
//! - the suite depends on the protocol only, not on any driver;
//! - a case has its own API group, so that it is independent of the store's content and of other
//!   cases; the suite must be the only writer meanwhile;
//! - a case that needs an empty store requests one ([`empty::EmptyStores`]), and is skipped if none
//!   is available;
//! - the building blocks of cases also serve other tests of the contract: [`CaseContext`], [`Client`],
//!   [`Stream`], [`Replay`];
//! - every rule can fail: `tests/kit/mutants.rs` has a driver that violates it and is detected.

pub mod cases;
pub mod crash;
pub mod empty;
pub mod epochs;
pub mod flushes;
pub mod measure;
pub mod model;
pub mod process;
pub mod report;
pub mod restart;
pub mod rules;
pub mod served;
pub mod suite;

mod background;
mod calls;
mod check;
mod client;
mod context;
mod key;
mod linearize;
mod replay;
mod stream;
mod text;

pub use backend_client::Endpoint;
pub use check::{Check, Stop};
pub use client::{Client, Listed};
pub use context::{CaseContext, RunOptions, Setup};
pub use key::path_of;
pub use model::ModelDriver;
pub use replay::Replay;
pub use report::Report;
pub use served::Served;
pub use stream::{Stream, WatchMessage};
