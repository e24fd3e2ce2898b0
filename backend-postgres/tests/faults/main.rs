//! Trouble under load: whatever happens to the server or on the way to it, what was acknowledged is
//! there once, watches are whole, and trouble is told as trouble.

mod blackhole;
mod calls;
mod fences;
mod hosts;
mod load;
mod lost_answers;
mod patience;
mod restarts;
#[path = "../support/sidecar.rs"]
mod sidecar_of;
mod slow_commits;
mod slow_readers;
mod space;
mod terminations;
