//! `ark-apiserver standalone` as its user runs it: the real programs, started, called, killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod client;
mod data;
mod drivers;
mod earlier_releases;
mod failover;
mod faults;
mod first_hour;
mod garbage;
mod guide;
mod history;
mod kinds;
mod memory;
mod program;
mod reload;
mod serving;
mod startup_errors;
mod websocket;
