//! The object as it is, from the cache first and from the backend when it matters.

use std::sync::Arc;

use api_types::status::ApiError;
use serde_json::Value;

use super::{Registry, Target};
use crate::store::{Freshness, StoreError, Stored};

/// A look at an object.
#[derive(Debug)]
pub(super) struct Live {
    /// What is there.
    pub(super) stored: Option<Arc<Stored>>,
    /// Whether it was so after the request came; if not, nothing may be refused because of it.
    pub(super) fresh: bool,
}

impl Live {
    /// Whatever is at hand; for a dry run, which asks nobody else, what is there now.
    pub(super) async fn first(registry: &Registry, target: &Target) -> Result<Self, StoreError> {
        if target.dry_run {
            return Self::now(registry, target).await;
        }
        let (id, key) = (target.served.resource().id(), target.key());
        match registry.store.get(id, &key, Freshness::Any).await {
            Ok(stored) => Ok(Self {
                stored,
                fresh: false,
            }),
            // It may have been replaced by now.
            Err(StoreError::Unreadable { .. }) => Self::now(registry, target).await,
            Err(error) => Err(error),
        }
    }

    /// What is there now.
    pub(super) async fn now(registry: &Registry, target: &Target) -> Result<Self, StoreError> {
        let (id, key) = (target.served.resource().id(), target.key());
        let stored = registry.store.get(id, &key, Freshness::Latest).await?;
        Ok(Self {
            stored,
            fresh: true,
        })
    }

    /// Whether it shows what another look did.
    pub(super) fn shows(&self, other: &Self) -> bool {
        match (&self.stored, &other.stored) {
            (None, None) => true,
            (Some(one), Some(other)) => one.revision() == other.revision(),
            _ => false,
        }
    }

    /// What the backend answered a write with.
    pub(super) const fn answered(stored: Option<Arc<Stored>>) -> Self {
        Self {
            stored,
            fresh: true,
        }
    }
}

/// An object as the version of the request shows it.
pub(super) fn tree(target: &Target, stored: &Stored) -> Result<Value, ApiError> {
    let bytes = target.served.view(stored.bytes())?;
    kube_json::reparse(&bytes).map_err(ApiError::internal)
}

/// 404 for the target.
pub(super) fn not_found(target: &Target) -> ApiError {
    ApiError::not_found(target.served.group_resource(), &target.name)
}
