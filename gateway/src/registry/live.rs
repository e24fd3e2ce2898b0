//! The stored object: from the cache first, and from the backend before a rejection that depends on
//! it.

use std::sync::Arc;

use api_types::revision::Revision;
use api_types::status::ApiError;
use serde_json::Value;

use super::{Registry, Target};
use crate::store::{Freshness, StoreError, Stored};

/// A read of the stored object.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) current: Current,
    /// Whether the read happened after the request arrived. A write is rejected on the basis of
    /// fresh reads only.
    pub(super) fresh: bool,
}

/// The stored state of a name; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Current {
    /// No object is stored.
    Absent,
    /// An object.
    Present(Arc<Stored>),
    /// An object whose stored bytes cannot be decoded.
    Undecodable {
        /// Its revision.
        revision: Revision,
        /// The error for every request that needs the object.
        error: StoreError,
    },
}

impl Live {
    /// Assumes that nothing is stored, for a create. The backend checks it.
    pub(super) const fn absent() -> Self {
        Self {
            current: Current::Absent,
            fresh: true,
        }
    }

    /// The object in the cache. A dry run reads from the backend, because it sends no write that
    /// would detect a newer state.
    pub(super) async fn cached(registry: &Registry, target: &Target) -> Result<Self, StoreError> {
        if target.dry_run {
            return Self::fresh(registry, target).await;
        }
        let (id, key) = (target.served.resource().id(), target.key());
        match Current::of(registry.store.get(id, &key, Freshness::Any).await)? {
            // The undecodable object may have been replaced since.
            Current::Undecodable { .. } => Self::fresh(registry, target).await,
            current => Ok(Self {
                current,
                fresh: false,
            }),
        }
    }

    /// Reads the object from the backend.
    pub(super) async fn fresh(registry: &Registry, target: &Target) -> Result<Self, StoreError> {
        let (id, key) = (target.served.resource().id(), target.key());
        let current = Current::of(registry.store.get(id, &key, Freshness::Latest).await)?;
        Ok(Self {
            current,
            fresh: true,
        })
    }

    /// The object that the backend returned with a conflict.
    pub(super) const fn from_conflict(current: Current) -> Self {
        Self {
            current,
            fresh: true,
        }
    }
}

impl Current {
    /// Converts the result of a lookup.
    ///
    /// # Errors
    /// If the lookup failed.
    pub(super) fn of(found: Result<Option<Arc<Stored>>, StoreError>) -> Result<Self, StoreError> {
        match found {
            Ok(None) => Ok(Self::Absent),
            Ok(Some(stored)) => Ok(Self::Present(stored)),
            Err(error) => match error {
                StoreError::Unreadable { revision, .. } => {
                    Ok(Self::Undecodable { revision, error })
                }
                error => Err(error),
            },
        }
    }

    /// The revision; none if nothing is stored.
    pub(super) fn revision(&self) -> Option<Revision> {
        match self {
            Self::Absent => None,
            Self::Present(stored) => Some(stored.revision()),
            Self::Undecodable { revision, .. } => Some(*revision),
        }
    }

    /// The object, for a write that needs one.
    ///
    /// # Errors
    /// 404 if nothing is stored, 500 if it cannot be decoded.
    pub(super) fn expect(&self, target: &Target) -> Result<&Arc<Stored>, ApiError> {
        match self {
            Self::Absent => Err(not_found(target)),
            Self::Present(stored) => Ok(stored),
            Self::Undecodable { error, .. } => Err(error.clone().into()),
        }
    }

    /// Bytes of the stored object.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Present(stored) => stored.bytes().len(),
            Self::Absent | Self::Undecodable { .. } => 0,
        }
    }
}

/// The object in the version of the request.
///
/// # Errors
/// If its bytes are not an object.
pub(super) fn tree(target: &Target, stored: &Stored) -> Result<Value, ApiError> {
    let bytes = target.served.view(stored.bytes())?;
    kube_json::reparse(&bytes).map_err(ApiError::internal)
}

/// 404 for the target.
pub(super) fn not_found(target: &Target) -> ApiError {
    ApiError::not_found(target.served.group_resource(), &target.name)
}
