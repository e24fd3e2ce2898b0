//! Tests of faults under load, of the server and the network: acknowledged changes exist exactly
//! once, watches are complete, and failures are typed errors.

mod blackhole;
mod calls;
mod commits;
mod fences;
mod hosts;
mod load;
mod lost_answers;
mod restarts;
mod retry_budget;
mod schema;
#[path = "../support/sidecar.rs"]
mod sidecar_of;
mod slow_commits;
mod slow_readers;
mod space;
mod standbys;
mod terminations;
