//! The operator's tool for the data behind the gateway.
//!
//! It speaks `ark.backend.v1` to drivers, the Kubernetes API to clusters that store the same kinds
//! as CRDs, and etcd's protocol where that API cannot preserve all fields.
//!
//! Invariants:
//! - a target becomes visible only when its content is complete, and is changed only if it was
//!   empty;
//! - only `fence`, `copy --live` and `return` fence a store; a fence of `copy --live` remains only if
//!   the target has taken over, or if that is unknown; that of `return` remains until the next
//!   `adopt`;
//! - every command may be killed at any time and repeated.

pub mod args;
pub mod deadlines;
pub mod run;

pub mod backup;
pub mod compact;
pub mod copy;
pub mod crds;
pub mod fence;
pub mod history;
pub mod moves;
pub mod status;
pub mod verify;

mod data_dir;
mod digest;
mod etcd;
mod key;
mod number;
mod output;
mod stop;
mod store;
mod summary;

pub use run::run;
