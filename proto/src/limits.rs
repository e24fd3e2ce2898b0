//! Constants of the protocol that both sides must agree on.

/// Newest minor version of `ark.backend.v1` that this crate describes.
pub const PROTOCOL_MINOR: u32 = 2;

/// Largest gRPC message either side accepts, bytes: one record of the largest size plus framing.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Target size of one `List` chunk or one `Watch` message, bytes. A single record or the events of
/// a single revision may be larger.
pub const CHUNK_BYTES: usize = 512 << 10;

/// Width of the counter in a revision: `revision = epoch << EPOCH_SHIFT | counter`.
pub const EPOCH_SHIFT: u32 = 40;

/// The first revision of an epoch; the counter starts behind it.
#[must_use]
pub const fn epoch_base(epoch: i64) -> i64 {
    epoch << EPOCH_SHIFT
}

/// The epoch that a revision belongs to.
#[must_use]
pub const fn epoch_of(revision: i64) -> i64 {
    revision >> EPOCH_SHIFT
}
