//! The kinds whose objects the controllers follow, and the paths of their objects.

use std::sync::Arc;

use api_types::gvk::GroupVersion;
use gateway::resources::{Catalog, Resource};
use gateway::store::{ObjectKey, ResourceId};

/// All kinds with stored objects and a served version.
#[derive(Debug)]
pub(super) struct Kinds(Vec<Kind>);

/// A kind.
#[derive(Debug)]
pub(super) struct Kind {
    resource: Arc<Resource>,
    /// Path of the served version, without a slash at the end.
    base: String,
}

impl Kinds {
    /// The kinds of a catalog.
    pub(super) fn of(catalog: &Catalog) -> Self {
        let kinds = catalog.resources().filter_map(|resource| {
            let storage = resource.storage_version();
            let mut versions = resource.definition().versions.iter();
            let version = match storage.served {
                true => storage,
                false => versions.find(|version| version.served)?,
            };
            let group = resource.id().group();
            Some(Kind {
                base: match group {
                    "" => format!("/api/{}", version.name),
                    group => format!("/apis/{group}/{}", version.name),
                },
                resource: Arc::clone(resource),
            })
        });
        Self(kinds.collect())
    }

    /// All kinds; positions in this order identify them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.iter()
    }

    /// A kind by its position.
    pub(super) fn get(&self, position: usize) -> Option<&Kind> {
        self.0.get(position)
    }

    /// The kind that a reference names, in any of its versions.
    pub(super) fn find(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        let wanted = GroupVersion::parse(api_version).ok()?;
        self.0.iter().find(|found| {
            let definition = found.resource.definition();
            definition.group == wanted.group
                && definition.names.kind == kind
                && definition
                    .versions
                    .iter()
                    .any(|it| it.name == wanted.version)
        })
    }
}

impl Kind {
    /// Group and plural name.
    pub(super) fn id(&self) -> &ResourceId {
        self.resource.id()
    }

    /// Whether objects are namespaced.
    pub(super) fn namespaced(&self) -> bool {
        self.resource.namespaced()
    }

    /// The path of a collection; of all namespaces if `namespace` is empty.
    pub(super) fn collection(&self, namespace: &str) -> String {
        let (base, plural) = (&self.base, self.id().resource());
        if namespace.is_empty() {
            format!("{base}/{plural}")
        } else {
            format!("{base}/namespaces/{namespace}/{plural}")
        }
    }

    /// The path of an object.
    pub(super) fn path(&self, key: &ObjectKey) -> String {
        format!("{}/{}", self.collection(key.namespace()), key.name())
    }
}
