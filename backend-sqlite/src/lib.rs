//! SQLite driver for the Backend protocol.
//!
//! Every change is one row of the table `log`, numbered by its revision and holding the value; the
//! table `current` says which row is the newest of each key. A write therefore stores its value
//! once, a watch reads `log` in order, and a list walks `current` in key order.
//!
//! Invariants:
//! - one thread writes, in transactions that are flushed before their verdicts are given;
//! - the row of `store` holds the newest revision, so that it is never used again even when
//!   compaction has removed the row that had it;
//! - a row of `log` at or below the compact revision stays while it is a key's current row or the
//!   row that a newer retained change replaced: state at the compact revision and later can be
//!   read, and every retained change knows its predecessor.

pub mod backup;
pub mod driver;
pub mod error;
pub mod options;

mod ballast;
mod checkpoint;
mod compact;
mod connection;
mod files;
mod import;
mod list;
mod lock;
mod pins;
mod read;
mod readers;
mod record;
mod renumber;
mod schema;
mod shared;
mod space;
mod staged;
mod transaction;
mod verify;
mod write;
mod writer;

pub use driver::SqliteDriver;
pub use error::Error;
pub use options::Options;
