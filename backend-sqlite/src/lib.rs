//! SQLite driver for the Backend protocol.
//!
//! Every change is one row of the table `log`, keyed by its revision and holding the value; the
//! table `current` names the newest row of each key. Therefore a write stores its value once, a
//! watch reads `log` in order, and a list scans `current` in key order.
//!
//! Invariants:
//! - one thread writes, in transactions that are flushed before their verdicts are returned;
//! - the row of `store` holds the newest revision, so that the revision is never reused even when
//!   compaction has deleted its row;
//! - a row of `log` at or below the compact revision stays while it is the current row of a key, or
//!   was replaced by a retained change: state at the compact revision and later is readable, and
//!   every retained change has its predecessor.

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
