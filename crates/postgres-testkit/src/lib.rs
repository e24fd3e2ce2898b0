//! Throw-away PostgreSQL servers for tests, real ones.
//!
//! Whatever was started is gone when its value is dropped, and also when the process that held it was
//! killed: see [`scratch`].
//!
//! Every wait has a deadline of [`DEADLINE`] and ends with an error that quotes the server's log.
//! PostgreSQL 15 or newer, on Linux.

pub mod error;
pub mod programs;
pub mod server;

pub mod scratch;
pub mod session;

mod account;
mod ports;
mod run;
mod settings;
mod template;
mod wait;

use std::time::Duration;

pub use error::{Error, Result};
pub use programs::Programs;
pub use server::{Server, Stop};
pub use session::Session;
pub use settings::Builder;

/// How long a server may take to do what it was asked.
pub const DEADLINE: Duration = Duration::from_secs(60);
