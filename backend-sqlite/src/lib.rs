//! SQLite driver for the Backend protocol.
//!
//! Every change is one row of the table `log`, keyed by its revision and holding the value; the
//! table `current` names the newest row of each key. Therefore a write stores its value once, a
//! watch reads `log` in order, and a list scans `current` in key order.
//!
//! Invariants:
//! - every commit has a stamp, in the row of `store` and in the file `.position`, so that a start
//!   recognizes files that do not belong together or lack commits;
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
mod continuity;
mod files;
mod import;
mod integrity;
mod list;
mod location;
mod lock;
mod opening;
mod pins;
mod position;
mod read;
mod readers;
mod record;
mod renumber;
mod schema;
mod shared;
mod space;
mod staged;
mod stamp;
mod transaction;
mod verify;
mod wal;
mod write;
mod writer;

pub use driver::SqliteDriver;
pub use error::Error;
pub use options::Options;
