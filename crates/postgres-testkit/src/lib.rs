//! Throw-away PostgreSQL servers for tests, real ones.
//!
//! [`Server`] is one server in a temporary directory; [`Pair`] a primary with an asynchronous standby;
//! [`Archive`] a server that can be put back to an earlier time; [`Proxy`] what a network does to
//! them; [`Pooler`] a pgbouncer in front of one. Whatever was started is gone when its value is
//! dropped, and also when the process that held it was killed: see [`scratch`].
//!
//! Every wait has a deadline of [`DEADLINE`] and ends with an error that quotes the server's log.
//! PostgreSQL 15 or newer, on Linux.
//!
//! ```no_run
//! use postgres_testkit::{Mode, Proxy, Server, Session};
//!
//! # async fn example() -> postgres_testkit::Result<()> {
//! let mut server = Server::builder().setting("max_connections", "20").start().await?;
//! let proxy = Proxy::start(server.address()).await?;
//! let dsn = proxy.dsn(&server.create_database("ark").await?);
//! let session = Session::connect(&dsn).await?;
//! session.text("select 1").await?;
//! proxy.set(Mode::Hang).await?; // … what the driver does in a black hole
//! proxy.set(Mode::Cut).await?;
//! server.kill9().await?; // … and while there is no server
//! server.start_again().await?;
//! # Ok(())
//! # }
//! ```

pub mod error;
pub mod programs;
pub mod server;

pub mod archive;
pub mod pair;
pub mod pooler;
pub mod proxy;

pub mod ports;
pub mod scratch;
pub mod session;

mod account;
mod backup;
mod run;
mod settings;
mod template;
mod wait;
mod wraparound;

use std::time::Duration;

pub use archive::{Archive, Target};
pub use error::{Error, Result};
pub use pair::Pair;
pub use pooler::{PoolMode, Pooler};
pub use programs::Programs;
pub use proxy::{Mode, Proxy};
pub use server::{Server, Stop};
pub use session::Session;
pub use settings::Builder;

/// Timeout of every operation of a server.
pub const DEADLINE: Duration = Duration::from_secs(60);
