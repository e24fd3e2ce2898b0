//! Tests of the load on the server: connections, statements, growth of the log and query plans.
//! Also the latency of a change to a watcher on another sidecar.

mod latency;
mod log;
mod plans;
#[path = "../support/sidecar.rs"]
mod sidecar_of;
mod snapshots;
mod statements;
