//! A resource definition and derived data.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::OnceLock;

use api_types::gvk::{GroupKind, GroupResource, GroupVersion};
use api_types::protobuf::read::Field;
use crd_schema::{Definition, Scope, SelectableField, Structural, Version, stored};
use serde_json::Value;

use super::built_in::{BuiltIn, CORE_GROUP, Review, View};
use super::typed::Typed;
use crate::store::ResourceId;

/// Verbs of a custom resource.
const VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// A served resource with all its versions.
#[derive(Debug)]
pub struct Resource {
    id: ResourceId,
    group_resource: GroupResource,
    group_kind: GroupKind,
    definition: Definition,
    manifest: Value,
    body_limit: usize,
    storage: usize,
    selectable: Vec<SelectableField>,
    versions: Vec<PerVersion>,
    fingerprint: u32,
    /// `None` for a custom resource.
    built_in: Option<BuiltIn>,
}

/// Data derived for a version.
#[derive(Debug)]
struct PerVersion {
    api_version: String,
    has_rules: bool,
    /// Compiled by the first write. None if the schema cannot be compiled.
    typed: OnceLock<Option<Typed>>,
}

impl Resource {
    /// Derives a resource from a checked definition and its manifest; `body_limit` is in bytes.
    pub(super) fn new(definition: Definition, manifest: Value, body_limit: usize) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&kube_json::to_vec(&manifest));
        let declared = definition.versions.iter();
        let selectable = stored::selectable_of(declared.flat_map(|v| &v.selectable_fields));
        let versions = definition.versions.iter();
        Self {
            id: ResourceId::new(&definition.group, &definition.names.plural),
            group_resource: GroupResource::new(&*definition.group, &*definition.names.plural),
            group_kind: GroupKind::new(&*definition.group, &*definition.names.kind),
            storage: versions.clone().position(|v| v.storage).unwrap_or(0),
            versions: versions
                .map(|it| PerVersion::new(&definition, it))
                .collect(),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "any 32 bits of a hash will do"
            )]
            fingerprint: hasher.finish() as u32,
            selectable,
            definition,
            manifest,
            body_limit,
            built_in: None,
        }
    }

    /// As [`Self::new`], for a built-in kind.
    pub(super) fn built_in(
        mut definition: Definition,
        mut manifest: Value,
        body_limit: usize,
        built_in: BuiltIn,
    ) -> Self {
        if definition.group == CORE_GROUP {
            definition.group.clear();
            manifest["spec"]["group"] = "".into();
        }
        let mut resource = Self::new(definition, manifest, body_limit);
        if let Some(view) = built_in.view {
            resource.id = ResourceId::new(view.group, resource.id.resource());
        }
        resource.built_in = Some(built_in);
        resource
    }

    /// Whether the resource has stored objects of its own.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.view().is_none() && self.review().is_none()
    }

    /// Whether the resource is no custom resource.
    #[must_use]
    pub const fn is_built_in(&self) -> bool {
        self.built_in.is_some()
    }

    /// Verbs in discovery, in kube-apiserver's order.
    #[must_use]
    pub fn verbs(&self) -> &'static [&'static str] {
        let declared = self.built_in.map_or(&[][..], |it| it.verbs);
        if declared.is_empty() {
            &VERBS
        } else {
            declared
        }
    }

    /// The fields of bodies in protobuf; none if they are not accepted.
    #[must_use]
    pub fn message(&self) -> Option<&'static [Field]> {
        let message = self.built_in?.message;
        (!message.is_empty()).then_some(message)
    }

    /// Answers creates instead of storage.
    #[must_use]
    pub fn review(&self) -> Option<Review> {
        self.built_in?.review
    }

    /// The stored objects that are shown.
    pub(super) fn view(&self) -> Option<View> {
        self.built_in?.view
    }

    /// Group and plural name, for the store.
    #[must_use]
    pub const fn id(&self) -> &ResourceId {
        &self.id
    }

    /// Group and plural name, for errors.
    #[must_use]
    pub const fn group_resource(&self) -> &GroupResource {
        &self.group_resource
    }

    /// Group and kind.
    #[must_use]
    pub const fn group_kind(&self) -> &GroupKind {
        &self.group_kind
    }

    /// The parsed definition.
    #[must_use]
    pub const fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The manifest of the definition, for OpenAPI documents.
    #[must_use]
    pub const fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// Whether objects are namespaced.
    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.definition.scope == Scope::Namespaced
    }

    /// Limit of request bodies, bytes.
    #[must_use]
    pub const fn body_limit(&self) -> usize {
        self.body_limit
    }

    /// Changes with the manifest, so that cached encodings of an old schema are not used.
    #[must_use]
    pub const fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// The storage version.
    #[must_use]
    pub fn storage_version(&self) -> &Version {
        &self.definition.versions[self.storage]
    }

    /// The selectable fields of all versions.
    pub(super) fn selectable(&self) -> &[SelectableField] {
        &self.selectable
    }

    pub(super) const fn storage_index(&self) -> usize {
        self.storage
    }

    /// Index of a served version.
    pub(super) fn served_index(&self, version: &str) -> Option<usize> {
        let mut versions = self.definition.versions.iter();
        versions.position(|it| it.served && it.name == version)
    }

    pub(super) fn version_at(&self, index: usize) -> &Version {
        &self.definition.versions[index]
    }

    /// `group/version`.
    pub(super) fn api_version_at(&self, index: usize) -> &str {
        &self.versions[index].api_version
    }

    pub(super) fn warning_at(&self, index: usize) -> Option<&str> {
        self.definition.versions[index].deprecated.as_deref()
    }

    /// How objects are merged, by index of the version.
    pub(super) fn typed_at(&self, index: usize) -> Option<&Typed> {
        let schema = &self.definition.versions.get(index)?.schema;
        let typed = self.versions.get(index)?.typed.get_or_init(|| {
            let typed = Typed::compile(schema).or_else(|error| {
                let id = &self.id;
                tracing::warn!(%error, resource = %id, "cannot merge by schema, lists are replaced");
                Typed::deduced()
            });
            typed.ok()
        });
        typed.as_ref()
    }

    /// Index of a version, served or not, by `group/version`.
    pub(super) fn index_of(&self, api_version: &str) -> Option<usize> {
        let mut versions = self.versions.iter();
        versions.position(|version| version.api_version == api_version)
    }

    pub(super) fn has_rules_at(&self, index: usize) -> bool {
        self.versions[index].has_rules
    }
}

impl PerVersion {
    fn new(definition: &Definition, version: &Version) -> Self {
        Self {
            api_version: GroupVersion::new(&*definition.group, &*version.name).to_string(),
            has_rules: has_rules(&version.schema),
            typed: OnceLock::new(),
        }
    }
}

/// Whether any node of a schema has CEL rules.
fn has_rules(schema: &Structural) -> bool {
    !schema.extensions.validations.is_empty()
        || schema.properties.values().any(has_rules)
        || schema.additional().is_some_and(has_rules)
        || schema.items.as_deref().is_some_and(has_rules)
}
