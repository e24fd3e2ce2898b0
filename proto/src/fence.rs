//! Reasons of fences that gateways understand.

/// Prefix of the reason of a fence that retires the store: its objects are served elsewhere from now
/// on, under revisions of another server.
///
/// A gateway on a retired store ends running watches with 410, rejects watches from a revision with
/// 410 and all other requests for objects with 503, so that no client takes a revision of this store
/// to the other server. Drivers treat it as any other reason.
pub const RETIRED: &str = "retired: ";
