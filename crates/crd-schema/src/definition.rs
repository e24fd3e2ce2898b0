//! A `CustomResourceDefinition` as this server uses it.

mod read;

mod defaults;
mod names;
mod strict;
mod version;

mod fields;

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
    /// Names of the resource.
    pub names: Names,
    /// Whether objects are namespaced.
    pub scope: Scope,
    /// In the manifest's order; exactly one is the storage version.
    pub versions: Vec<Version>,
}

/// Names of a resource (`spec.names`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// In URLs: `queries`.
    pub plural: String,
    /// In messages and the CLI: `query`.
    pub singular: String,
    /// In manifests: `Query`.
    pub kind: String,
    /// Of lists: `QueryList`.
    pub list_kind: String,
    /// Abbreviations for the CLI: `q`.
    pub short_names: Vec<String>,
    /// Groups of resources to which it belongs: `all`.
    pub categories: Vec<String>,
}

/// The scope of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// Without a namespace.
    Cluster,
}

impl Scope {
    /// The name in a manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespaced => "Namespaced",
            Self::Cluster => "Cluster",
        }
    }
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
    /// The warning in every response, if the version is deprecated.
    pub deprecated: Option<String>,
    /// The schema of objects.
    pub schema: Arc<Structural>,
    /// Whether there is a status subresource.
    pub status: bool,
    /// The paths of the scale subresource, if there is one.
    pub scale: Option<ScalePaths>,
    /// Columns of tables after the name.
    pub columns: Vec<Column>,
    /// Fields of field selectors besides name and namespace.
    pub selectable_fields: Vec<SelectableField>,
}

/// A definition with warnings for operators.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The definition.
    pub definition: Definition,
    /// One sentence each.
    pub warnings: Vec<String>,
}

impl Definition {
    /// Reads a manifest of `apiextensions.k8s.io/v1`.
    ///
    /// # Errors
    /// Every error for which kube-apiserver would reject the manifest, with its message.
    pub fn from_manifest(manifest: &Value) -> Result<Loaded, Vec<Error>> {
        read::definition(manifest)
    }

    /// The version in which objects are stored.
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
