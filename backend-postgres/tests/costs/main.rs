//! What the driver costs the server: connections, statements, the log's growth, and how its
//! statements are carried out. And how long a change takes to a watcher elsewhere.

mod latency;
mod log;
mod plans;
#[path = "../support/sidecar.rs"]
mod sidecar_of;
mod snapshots;
mod statements;
