//! What is stored, as the registry sees it: reads, watches and writes of opaque objects.
//!
//! Reads and watches are answered from one in-memory cache per resource, fed by a single stream of
//! changes from the backend; writes go to the backend and come back through that stream. A
//! consistent read asks the backend for its current revision (all readers that wait share one
//! call) and then waits until the cache has it.
//!
//! The store knows nothing of schemas: a [`Codec`] turns stored bytes into an [`Head`].

mod codec;
mod error;
mod key;
mod listing;
mod object;
mod request;
mod watch;
mod write;

pub use codec::{Codec, DecodeError, Decoded, Head};
pub use error::StoreError;
pub use key::{ObjectKey, ResourceId};
pub use listing::{Listing, ListingIter};
pub use object::{Labels, Renderings, Stored};
pub use request::{Freshness, ListAt, ListRequest, Scope, WatchRequest, WatchStart};
pub use watch::{Equality, EventKind, Everything, Filter, WatchItem, Watcher};
pub use write::{Action, Cause, Index, WriteOp, WriteOutcome};

use std::sync::Arc;

/// Handle to the stored objects; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {}

impl Store {
    /// One object, or `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if `freshness` needs the backend and it does not answer,
    /// [`StoreError::FutureRevision`] if the revision asked for is not reached within 3 s,
    /// [`StoreError::Initializing`] before the first load.
    pub async fn get(
        &self,
        resource: &ResourceId,
        key: &ObjectKey,
        freshness: Freshness,
    ) -> Result<Option<Arc<Stored>>, StoreError> {
        let _ = (&self.inner, resource, key, freshness);
        Err(StoreError::initializing())
    }

    /// A snapshot of the objects in a scope.
    ///
    /// # Errors
    /// As [`Store::get`]; [`StoreError::Compacted`] if an exact revision is no longer held.
    pub async fn list(
        &self,
        resource: &ResourceId,
        request: ListRequest,
    ) -> Result<Listing, StoreError> {
        let _ = (resource, request);
        Err(StoreError::initializing())
    }

    /// Follows the changes in a scope.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn watch(
        &self,
        resource: &ResourceId,
        request: WatchRequest,
    ) -> Result<Watcher, StoreError> {
        let _ = (resource, request);
        Err(StoreError::initializing())
    }

    /// Applies one change. A retry after an unknown outcome is made here, at most once applied.
    ///
    /// # Errors
    /// [`StoreError::OutcomeUnknown`] if it could not be learnt whether the change was stored;
    /// every other error means that nothing was stored.
    pub async fn write(&self, op: WriteOp) -> Result<WriteOutcome, StoreError> {
        let _ = op;
        Err(StoreError::initializing())
    }
}
