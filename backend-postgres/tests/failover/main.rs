//! Tests of clients when the database loses commits, or might have: fail-overs to a standby,
//! restores of earlier times, copies.
//!
//! Real servers run under load from two sidecars. The load, its ledger and the verdict are those of
//! the `workload` crate.

mod scene;
mod sidecar;

mod copies;
mod pair;
mod restores;
mod split;
