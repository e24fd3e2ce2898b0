//! Driver kit: everything a storage driver would write again.
//!
//! A driver author implements [`Driver`] and calls [`run`]. The kit batches writes, hands changes
//! out to watchers, serves `ark.backend.v1` on a unix socket or over mutual TLS, drops old history,
//! answers health probes and shuts down in order.
//!
//! Invariants:
//! - one [`Driver::commit`] at a time; two operations on one key never share a batch;
//! - a change is published to watchers before its writer is answered, so that a watch begun after
//!   an answer starts behind it;
//! - backend reads per write do not depend on the number of watchers: they share one ring.

pub mod config;
pub mod driver;
pub mod head;
pub mod key;
pub mod listen;
pub mod logs;
pub mod op;
pub mod time;

mod batch;
mod connection;
mod export;
mod fanout;
mod gate;
mod health;
mod import;
mod list;
mod metrics;
mod parent;
mod range;
mod reader;
mod refuse;
mod retention;
mod run;
mod service;
mod streams;
mod tail;
mod watch;

pub use config::Options;
pub use driver::Driver;
pub use run::{Error, run, run_once_open, serve};
