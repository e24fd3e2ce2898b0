//! The catalog of served resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::version_order;

use super::{Resource, Served};

/// Served resources by group and plural name; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    groups: BTreeMap<String, BTreeMap<String, Arc<Resource>>>,
}

/// Why two definitions cannot be served together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Both declare the same resource.
    #[error("{0} is defined a second time")]
    Resource(String),
    /// They declare different resources of the same kind.
    #[error("{resource}: kind {kind} is already that of {other}")]
    Kind {
        /// The second resource.
        resource: String,
        /// The shared kind.
        kind: String,
        /// The first resource.
        other: String,
    },
}

impl Catalog {
    /// Adds a resource.
    ///
    /// # Errors
    /// If its name or its kind is taken.
    pub fn with(mut self, resource: Arc<Resource>) -> Result<Self, Conflict> {
        let id = resource.id();
        let group = self.groups.entry(id.group().to_owned()).or_default();
        if group.contains_key(id.resource()) {
            return Err(Conflict::Resource(id.to_string()));
        }
        let kind = &resource.definition().names.kind;
        if let Some(other) = group
            .values()
            .find(|it| it.definition().names.kind == *kind)
        {
            return Err(Conflict::Kind {
                resource: id.to_string(),
                kind: kind.clone(),
                other: other.id().to_string(),
            });
        }
        group.insert(id.resource().to_owned(), resource);
        Ok(self)
    }

    /// Removes a resource, if present, so that another manifest can override it.
    #[must_use]
    pub fn without(mut self, group: &str, plural: &str) -> Self {
        if let Some(resources) = self.groups.get_mut(group) {
            resources.remove(plural);
            if resources.is_empty() {
                self.groups.remove(group);
            }
        }
        self
    }

    /// A resource by group and plural name.
    #[must_use]
    pub fn get(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.groups.get(group)?.get(plural)
    }

    /// A resource in a version that clients may use.
    #[must_use]
    pub fn served(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        Served::new(Arc::clone(self.get(group, plural)?), version)
    }

    /// Whether both define the same resources alike.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let definitions = |it: &Self| -> Vec<_> {
            let resources = it.resources();
            resources
                .map(|resource| (resource.id().clone(), resource.fingerprint()))
                .collect()
        };
        definitions(self) == definitions(other)
    }

    /// All resources, by group and plural name.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups.values().flat_map(BTreeMap::values)
    }

    /// The groups, sorted.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The resources of a group, by plural name.
    pub fn group(&self, group: &str) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups
            .get(group)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// The served versions of a group, the preferred one first.
    #[must_use]
    pub fn versions(&self, group: &str) -> Vec<&str> {
        let mut versions: Vec<&str> = self
            .group(group)
            .flat_map(|it| &it.definition().versions)
            .filter(|it| it.served)
            .map(|it| it.name.as_str())
            .collect();
        versions.sort_by(|a, b| version_order::compare(a, b));
        versions.dedup();
        versions
    }
}
