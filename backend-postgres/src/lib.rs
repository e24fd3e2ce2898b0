//! PostgreSQL driver for the Backend protocol.
//!
//! The table `object` holds current state; `log` holds one row per change, with the value that the
//! change replaced. Each batch is one transaction: it locks the only row of `store`, applies the
//! batch in one statement that assigns revisions to the successful operations, and commits, all in
//! one pipelined round trip.
//!
//! Invariants:
//! - the lock on the row of `store` is held until the commit is visible. Commit order is therefore
//!   revision order for any number of writers, and a snapshot at revision r contains every change ≤
//!   r;
//! - a value is in `object` until it is replaced, then in the log row of the change that replaced
//!   it: dropping the log up to a revision removes nothing that state or events after it need;
//! - a database that may lack commits that clients saw (another timeline, another cluster, or a
//!   revision below an observed one) begins a new epoch before it is read or written;
//! - notifications between processes carry no data: a lost one delays a change but never loses it.

pub mod driver;
pub mod error;
pub mod migrate;
pub mod options;

mod compact;
mod connect;
mod connection;
mod dsn;
mod host_watch;
mod import;
mod lineage;
mod list;
mod notifier;
mod parameters;
mod passfile;
mod pool;
mod read;
mod record;
mod resources;
mod shared;
mod store;
mod tls;
mod warnings;
mod write;
mod writer;

pub use driver::PostgresDriver;
pub use error::Error;
pub use options::{Arguments, Options};
