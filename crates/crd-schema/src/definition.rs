//! A `CustomResourceDefinition` as this server uses it.

mod names;
mod read;
mod version;

use std::sync::Arc;

use api_types::field::Error;
use serde_json::Value;

use crate::columns::Column;
use crate::scale::ScalePaths;
use crate::selectable::SelectableField;
use crate::structural::Structural;

/// A served resource: its names, its scope and its versions.
#[derive(Clone, Debug)]
pub struct Definition {
    /// `ark.mckinsey.com`.
    pub group: String,
    /// What it is called.
    pub names: Names,
    /// Whether its objects live in namespaces.
    pub scope: Scope,
    /// In the manifest's order; exactly one is the storage version.
    pub versions: Vec<Version>,
}

/// What a resource is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// In URLs: `queries`.
    pub plural: String,
    /// For people: `query`.
    pub singular: String,
    /// In manifests: `Query`.
    pub kind: String,
    /// Of lists: `QueryList`.
    pub list_kind: String,
    /// For typing: `q`.
    pub short_names: Vec<String>,
    /// Sets of resources it belongs to: `all`.
    pub categories: Vec<String>,
}

/// Where objects live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In none.
    Cluster,
}

/// One version of a resource.
#[derive(Clone, Debug)]
pub struct Version {
    /// `v1alpha1`.
    pub name: String,
    /// Whether clients may use it.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
    /// The warning that every answer carries, if the version is deprecated.
    pub deprecated: Option<String>,
    /// What objects look like.
    pub schema: Arc<Structural>,
    /// Whether there is a status subresource.
    pub status: bool,
    /// Whether there is a scale subresource, and its paths.
    pub scale: Option<ScalePaths>,
    /// Columns of tables after the name.
    pub columns: Vec<Column>,
    /// Fields of field selectors besides name and namespace.
    pub selectable_fields: Vec<SelectableField>,
}

/// A definition, and what an operator should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What was read.
    pub definition: Definition,
    /// One sentence each.
    pub warnings: Vec<String>,
}

impl Definition {
    /// Reads a manifest of `apiextensions.k8s.io/v1`.
    ///
    /// # Errors
    /// Everything that kube-apiserver would refuse, in its words.
    pub fn from_manifest(manifest: &Value) -> Result<Loaded, Vec<Error>> {
        read::definition(manifest)
    }

    /// The version that objects are stored in.
    #[must_use]
    pub fn storage_version(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.storage)
    }

    /// A version by its name.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }
}

#[cfg(test)]
mod tests;
