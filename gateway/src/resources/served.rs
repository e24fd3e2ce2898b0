//! A resource in one of its served versions.

use std::sync::Arc;

use api_types::gvk::{GroupKind, GroupResource};
use crd_schema::{Structural, Version};

use super::{Resource, Typed};

/// A resource in a served version; cheap to clone.
#[derive(Debug, Clone)]
pub struct Served {
    resource: Arc<Resource>,
    index: usize,
}

impl Served {
    pub(super) fn new(resource: Arc<Resource>, version: &str) -> Option<Self> {
        let index = resource.served_index(version)?;
        Some(Self { resource, index })
    }

    /// The same resource in another served version.
    #[must_use]
    pub fn in_version(&self, version: &str) -> Option<Self> {
        Self::new(Arc::clone(&self.resource), version)
    }

    /// The resource.
    #[must_use]
    pub const fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &Version {
        self.resource.version_at(self.index)
    }

    /// Index of the version in the definition.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// `group/version`.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.resource.api_version_at(self.index)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.resource.definition().names.kind
    }

    /// The list kind.
    #[must_use]
    pub fn list_kind(&self) -> &str {
        &self.resource.definition().names.list_kind
    }

    /// The schema of the version.
    #[must_use]
    pub fn schema(&self) -> &Structural {
        &self.version().schema
    }

    /// How objects of the version are merged.
    pub(crate) fn typed(&self) -> Option<&Typed> {
        self.resource.typed_at(self.index)
    }

    /// How objects of another version, `group/version`, are merged; none if it does not exist.
    pub(crate) fn typed_in(&self, api_version: &str) -> Option<&Typed> {
        let index = self.resource.index_of(api_version)?;
        self.resource.typed_at(index)
    }

    /// All versions, served or not, as `group/version`.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&str, &Version)> {
        let versions = self.resource.definition().versions.iter().enumerate();
        versions.map(|(index, version)| (self.resource.api_version_at(index), version))
    }

    /// Another version, `group/version`, served or not.
    pub(crate) fn version_in(&self, api_version: &str) -> Option<&Version> {
        let index = self.resource.index_of(api_version)?;
        Some(self.resource.version_at(index))
    }

    /// Whether the schema has CEL rules.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        self.resource.has_rules_at(self.index)
    }

    /// Group and plural name, for errors.
    #[must_use]
    pub fn group_resource(&self) -> &GroupResource {
        self.resource.group_resource()
    }

    /// Group and kind, for errors.
    #[must_use]
    pub fn group_kind(&self) -> &GroupKind {
        self.resource.group_kind()
    }

    /// Whether objects are namespaced.
    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.resource.namespaced()
    }

    /// The deprecation warning of every response, if the version is deprecated.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.resource.warning_at(self.index)
    }

    /// Whether this is the storage version, so that stored bytes are served unchanged.
    #[must_use]
    pub fn is_storage(&self) -> bool {
        self.index == self.resource.storage_index() && self.resource.view().is_none()
    }
}
