//! A resource in one of its served versions: what a request is about.

use std::sync::Arc;

use api_types::gvk::{GroupKind, GroupResource};
use bytes::Bytes;
use crd_schema::{Structural, Version};
use serde_json::Value;

use super::{Resource, read};
use crate::store::{DecodeError, Index};

/// A resource in a version that clients may use; cheap to clone.
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

    /// Position of the version in the definition.
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

    /// The kind of lists.
    #[must_use]
    pub fn list_kind(&self) -> &str {
        &self.resource.definition().names.list_kind
    }

    /// What objects look like in this version.
    #[must_use]
    pub fn schema(&self) -> &Structural {
        &self.version().schema
    }

    /// Whether the schema has CEL rules.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        self.resource.has_rules_at(self.index)
    }

    /// Group and plural name, as errors name it.
    #[must_use]
    pub fn group_resource(&self) -> &GroupResource {
        self.resource.group_resource()
    }

    /// Group and kind, as errors name it.
    #[must_use]
    pub fn group_kind(&self) -> &GroupKind {
        self.resource.group_kind()
    }

    /// Whether objects live in namespaces.
    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.resource.namespaced()
    }

    /// What every answer warns of, if the version is deprecated.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.resource.warning_at(self.index)
    }

    /// Whether objects are stored in this version, and so served as they are stored.
    #[must_use]
    pub fn is_storage(&self) -> bool {
        self.index == self.resource.storage_index()
    }

    /// An object of the store as this version shows it.
    ///
    /// # Errors
    /// If the bytes are no object.
    pub fn view(&self, stored: &Bytes) -> Result<Bytes, DecodeError> {
        if self.is_storage() {
            return Ok(stored.clone());
        }
        read::view(self, stored)
    }

    /// An object of this version as it is stored, and what the backend may index of it. Takes
    /// `metadata.resourceVersion` and `metadata.selfLink` out of the object.
    ///
    /// # Errors
    /// If the object has no metadata.
    pub fn stored(&self, object: &mut Value) -> Result<(Bytes, Index), DecodeError> {
        let stored = read::stored(self, object)?;
        let index = read::index(&self.resource, &stored);
        Ok((kube_json::to_vec(&stored).into(), index))
    }

    /// An object as this version shows it once it is read back, if that can be anything but what
    /// was given to be stored: another version may lose fields on the way, or have other defaults.
    ///
    /// # Errors
    /// If the bytes are no object.
    pub fn reread(&self, stored: &Bytes) -> Result<Option<Value>, DecodeError> {
        if self.is_storage() {
            return Ok(None);
        }
        read::reread(self, stored).map(Some)
    }
}
