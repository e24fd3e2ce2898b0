//! The Backend protocol `ark.backend.v1`, as Rust types.
//!
//! [`v1`] is generated from `proto/ark/backend/v1/backend.proto` and checked in; the test `drift`
//! fails if the two differ, and rewrites the file when run with `UPDATE=1`. The `.proto` documents
//! the contract of every call and field.
//!
//! [`error`] converts the typed [`v1::BackendError`] to a gRPC status and back; message texts are
//! never parsed. [`clock`] gives the numbers of new epochs and revisions.

pub mod clock;
pub mod error;
pub mod fence;
pub mod import;
pub mod limits;

/// Generated messages, client and server of `ark.backend.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::nursery)]
#[allow(clippy::unwrap_used, clippy::large_futures, clippy::use_self)]
#[rustfmt::skip]
pub mod v1 {
    include!("gen/ark.backend.v1.rs");
}

/// The protocol as an encoded `google.protobuf.FileDescriptorSet`, for server reflection and for
/// printing messages as text. Checked in beside [`v1`].
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/ark.backend.v1.binpb");

/// Metadata of a Write call: the `Audit-ID` of the API requests whose writes it carries, one value
/// each, possibly not of all. A driver logs them when the call is slow or fails.
pub const AUDIT_ID_METADATA: &str = "audit-id";
