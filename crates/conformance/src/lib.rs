//! The storage contract `ark.backend.v1` as a suite that judges any driver.
//!
//! [`cases::all`] names every sentence of the contract; [`suite::run`] tries them over a driver's
//! endpoint; [`crash::run`] kills a driver under load and looks at what is left. [`ModelDriver`]
//! keeps everything in memory: it is what the suite itself is tested with, and the example for
//! authors of drivers.
//!
//! Invariants:
//! - the suite knows the protocol and nothing of any driver;
//! - a case works in a group of its own, so that it neither depends on what the store holds nor on
//!   the cases before it; the suite must be the only writer meanwhile;
//! - a case that needs an empty store asks for one ([`empty::EmptyStores`]), and is skipped where
//!   none can be had;
//! - what cases are made of serves other tests of the contract, too: [`Bench`], [`Client`],
//!   [`Stream`], [`Replay`];
//! - every sentence can fail: `tests/kit/mutants.rs` has drivers that break
//!   one each, and are caught.

pub mod cases;
pub mod crash;
pub mod empty;
pub mod epochs;
pub mod measure;
pub mod model;
pub mod report;
pub mod served;
pub mod suite;

mod bench;
mod check;
mod client;
mod linearize;
mod load;
mod replay;
mod stream;

pub use backend_client::Endpoint;
pub use bench::{Bench, Effort, path_of};
pub use check::{Check, Stop};
pub use client::{Client, Listed};
pub use model::ModelDriver;
pub use replay::Replay;
pub use report::Report;
pub use served::Served;
pub use stream::{Stream, Told};
