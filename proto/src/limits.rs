//! Constants of the protocol that both sides must agree on.

/// Newest minor version of `ark.backend.v1` in this crate.
pub const PROTOCOL_MINOR: u32 = 4;

/// Largest gRPC message that either side accepts, in bytes: one record of the largest size plus
/// framing.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Smallest `value_bytes` of a driver: the largest object that etcd stores by default.
pub const MIN_VALUE_BYTES: i64 = 3 << 19;

/// Smallest `write_ops` of a driver: a gateway sends batches of this size.
pub const MIN_WRITE_OPS: i64 = 128;

/// Smallest `write_bytes` of a driver: a gateway sends batches of this size.
pub const MIN_WRITE_BYTES: i64 = 4 << 20;

/// Largest `write_bytes`: a request of that size fits into a message with its keys and indexes.
pub const MAX_WRITE_BYTES: i64 = 48 << 20;

/// Target size in bytes of one `List` chunk or one `Watch` message. A single record, or the events
/// of a single revision, may be larger.
pub const CHUNK_BYTES: usize = 512 << 10;

/// Largest revision of any store, and largest number of an epoch: 2^53 - 1.
///
/// Many clients, such as JavaScript and JSON libraries, parse resource versions as doubles, which
/// represent every integer up to here exactly.
pub const MAX_REVISION: i64 = (1 << 53) - 1;

/// Newest revision of a change. Those above are reserved for epochs, so that a store without
/// revisions left for changes can still be opened, restored, read and moved.
pub const LAST_WRITE: i64 = MAX_REVISION - (1 << 20);

/// Newest revision of an import's source. Leaves 2^48 revisions to the new store: nine hundred
/// years at ten thousand changes per second.
pub const LAST_IMPORT: i64 = MAX_REVISION - (1 << 48);
