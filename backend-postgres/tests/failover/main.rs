//! Tests of clients when the database loses commits, or might have: fail-overs to a standby,
//! restores of earlier times, copies.
//!
//! Real servers run under load from two sidecars. All observations of clients go into one
//! [`ledger`], which fails as soon as a revision has two meanings.

mod ledger;
mod load;
mod scene;
mod sidecar;
mod watcher;

mod copies;
mod pair;
mod restores;
mod split;
