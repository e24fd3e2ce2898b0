//! `ark-apiserver standalone` as its user meets it: the real programs, started, asked, killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod client;
mod data;
mod drivers;
mod failover;
mod faults;
mod former;
mod memory;
mod program;
mod refusals;
mod reload;
mod serving;
