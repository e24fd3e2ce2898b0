//! Driver kit: the parts that every storage driver needs.
//!
//! A driver implements [`Driver`] and calls [`run`]. The kit batches writes, fans out changes to
//! watchers, serves `ark.backend.v1` on a unix socket or over mutual TLS, compacts old history,
//! answers health probes and shuts down in order.
//!
//! Invariants:
//! - one [`Driver::commit`] at a time; two operations on one key never share a batch;
//! - a change is published to watchers before its write returns, so that a watch started after the
//!   response begins behind it;
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
mod log_follower;
mod metrics;
mod parent;
mod range;
mod reader;
mod refuse;
mod retention;
mod run;
mod service;
mod streams;
mod watch;

pub use config::Options;
pub use driver::Driver;
pub use run::{Error, run, run_once_open, serve};
