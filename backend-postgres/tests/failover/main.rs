//! What clients of the store see when its database loses commits, or might have: fail-overs to a
//! standby, restores of earlier times, copies.
//!
//! Real servers under load from two sidecars. Whatever anybody is ever told of a revision goes into
//! one [`ledger`], which knows at once when a revision means two things.

mod ledger;
mod load;
mod scene;
mod sidecar;
mod watcher;

mod copies;
mod pair;
mod restores;
mod split;
