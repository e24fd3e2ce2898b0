//! The Backend protocol `ark.backend.v1`, as Rust types.
//!
//! [`v1`] is generated from `proto/ark/backend/v1/backend.proto` and checked in; the test `drift`
//! fails when the two differ and rewrites the file when run with `UPDATE=1`. The contract of every
//! call and field is documented in the `.proto`.
//!
//! [`error`] turns the typed [`v1::BackendError`] into a gRPC status and back; nothing is ever
//! guessed from a message text. [`clock`] numbers what is given new revisions.

pub mod clock;
pub mod error;
pub mod import;
pub mod limits;

/// Generated messages, client and server of `ark.backend.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::nursery)]
#[allow(clippy::unwrap_used, clippy::large_futures, clippy::use_self)]
#[rustfmt::skip]
pub mod v1 {
    include!("gen/ark.backend.v1.rs");
}

/// Metadata of a Write call: the `Audit-ID` of requests that it carries writes of, one value each and
/// perhaps not of all. A driver names them in its log when the call is slow or fails.
pub const AUDIT_ID_METADATA: &str = "audit-id";
