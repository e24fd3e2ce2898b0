//! PostgreSQL driver for the Backend protocol.
//!
//! The table `object` holds current state; `log` holds one row per change, with what the change
//! replaced. Each batch is one transaction: it locks the one row of `store`, applies the batch in one
//! statement that numbers only the winners, and commits; all sent in one go.
//!
//! Invariants:
//! - the lock on the row of `store` is held until the commit can be seen: so commit order is revision
//!   order however many processes write, and a snapshot that shows revision r shows every change ≤ r;
//! - a value is in `object` until it is replaced, then in the log row of the change that replaced it:
//!   dropping the log up to a revision takes nothing that state or events after it need;
//! - a database that may lack commits that somebody saw (another timeline, another cluster, or a
//!   revision below one that was seen) begins a new epoch before it is read or written;
//! - hints between processes carry no data: losing one costs time, never a change.

pub mod driver;
pub mod error;
pub mod migrate;
pub mod options;

mod bell;
mod compact;
mod connect;
mod connection;
mod dsn;
mod import;
mod list;
mod pool;
mod read;
mod record;
mod resources;
mod shared;
mod store;
mod tls;
mod write;
mod writer;

pub use driver::PostgresDriver;
pub use error::Error;
pub use options::{Arguments, Options};
