//! Constants of the protocol that both sides must agree on.

/// Newest minor version of `ark.backend.v1` that this crate describes.
pub const PROTOCOL_MINOR: u32 = 3;

/// Largest gRPC message either side accepts, bytes: one record of the largest size plus framing.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Target size of one `List` chunk or one `Watch` message, bytes. A single record or the events of
/// a single revision may be larger.
pub const CHUNK_BYTES: usize = 512 << 10;

/// Largest revision of any store, and largest number of an epoch: 2^53 - 1.
///
/// Clients compare resource versions as numbers, JavaScript and many JSON libraries as doubles, which
/// hold every integer up to here exactly.
pub const MAX_REVISION: i64 = (1 << 53) - 1;

/// Newest revision of a change. Those above are left for epochs: a store that has no room for changes
/// can still be opened, restored, read and moved.
pub const LAST_WRITE: i64 = MAX_REVISION - (1 << 20);

/// Newest revision of an import's source, so that the store that it makes has room: 2^48 revisions
/// are left then: those of nine hundred years at ten thousand changes a second.
pub const LAST_IMPORT: i64 = MAX_REVISION - (1 << 48);
