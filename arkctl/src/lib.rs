//! The operator's tool for the data behind the gateway.
//!
//! It speaks `ark.backend.v1` to drivers, the Kubernetes API to clusters that keep the same kinds as
//! CRDs, and to the latter's etcd where that API cannot say enough.
//!
//! Invariants:
//! - a target is never visible before all of it has arrived, and never changed unless it was empty;
//! - a store is fenced only by `fence` and by `copy --live`; a fence raised by the latter stands after
//!   it only if the target has taken over, or if that cannot be told;
//! - every command may be killed at any moment and given again.

pub mod args;
pub mod run;

pub mod backup;
pub mod compact;
pub mod copy;
pub mod crds;
pub mod fence;
pub mod history;
pub mod verify;

mod digest;
mod etcd;
mod key;
mod number;
mod store;
mod tell;

pub use run::run;
