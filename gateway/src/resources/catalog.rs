//! The catalog of served resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::version_order;

use super::{Resource, Served};
use crate::store::ResourceId;

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
    /// A definition replaces another one whose stored objects it does not describe.
    #[error(
        "{resource}: {field} is immutable: it cannot change from {old} to {new} while {objects} \
         objects are stored; delete them first"
    )]
    Immutable {
        /// The resource.
        resource: String,
        /// The field of the definition.
        field: &'static str,
        /// Its value so far.
        old: String,
        /// Its value in the new definition.
        new: String,
        /// The number of stored objects.
        objects: usize,
    },
}

impl Catalog {
    /// Adds a resource.
    ///
    /// # Errors
    /// If its name or its kind is taken.
    pub fn with(mut self, resource: Arc<Resource>) -> Result<Self, Conflict> {
        let id = resource.group_resource();
        let group = self.groups.entry(id.group.clone()).or_default();
        if group.contains_key(&id.resource) {
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
                other: other.group_resource().to_string(),
            });
        }
        group.insert(id.resource.clone(), resource);
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

    /// Checks whether another catalog may replace this one; `stored` counts the objects of a
    /// resource. As in kube-apiserver, the scope and the kind of a resource cannot change.
    ///
    /// # Errors
    /// At the first resource whose scope or kind would change while it has objects.
    pub fn check_successor(
        &self,
        new: &Self,
        stored: impl Fn(&ResourceId) -> usize,
    ) -> Result<(), Conflict> {
        for resource in new.resources() {
            let id = resource.id();
            let Some(before) = self.get(id.group(), id.resource()) else {
                continue;
            };
            let (before, after) = (before.definition(), resource.definition());
            let fields = [
                ("spec.scope", before.scope.name(), after.scope.name()),
                ("spec.names.kind", &before.names.kind, &after.names.kind),
            ];
            let Some((field, old, new)) = fields.into_iter().find(|(_, old, new)| old != new)
            else {
                continue;
            };
            let objects = stored(id);
            if objects > 0 {
                return Err(Conflict::Immutable {
                    resource: id.to_string(),
                    field,
                    old: old.to_owned(),
                    new: new.to_owned(),
                    objects,
                });
            }
        }
        Ok(())
    }

    /// The resources that another catalog does not have.
    pub fn missing_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Arc<Resource>> {
        let missing =
            |it: &&Arc<Resource>| other.get(it.id().group(), it.id().resource()).is_none();
        self.resources().filter(missing)
    }

    /// All resources with stored objects of their own, by group and plural name.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let all = self.groups.values().flat_map(BTreeMap::values);
        all.filter(|resource| resource.is_stored())
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
