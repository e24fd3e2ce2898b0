//! Unaggregated discovery, one document per group and version (`meta/v1`): `APIVersions`,
//! `APIGroupList`, `APIGroup`, `APIResourceList`.

use api_types::gvk::GroupVersion;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crd_schema::Version;
use kube_json::ObjectWriter;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::SUBRESOURCE_VERBS;
use crate::resources::{Catalog, Resource};

/// `APIVersions` of the core group: kubectl treats a server without it as broken.
pub(super) fn core_versions() -> Vec<u8> {
    document("APIVersions", |out| {
        out.value("versions", &json!(["v1"]));
        out.value("serverAddressByClientCIDRs", &json!([]));
    })
}

/// `APIGroupList`.
pub(super) fn groups(catalog: &Catalog, names: &[&str]) -> Vec<u8> {
    document("APIGroupList", |out| {
        out.objects("groups", names, |name, out| fields(catalog, name, out));
    })
}

/// `APIGroup`.
pub(super) fn group(catalog: &Catalog, name: &str) -> Vec<u8> {
    document("APIGroup", |out| fields(catalog, name, out))
}

/// `APIResourceList`.
pub(super) fn resources(catalog: &Catalog, group: &str, version: &str) -> Vec<u8> {
    let mut entries = Vec::new();
    for resource in catalog.group(group) {
        let versions = resource.definition().versions.iter();
        for found in versions.filter(|it| it.served && it.name == version) {
            entries.push(Entry::Resource(resource));
            if found.status {
                entries.push(Entry::Status(resource));
            }
            if found.scale.is_some() {
                entries.push(Entry::Scale(resource));
            }
        }
    }
    document("APIResourceList", |out| {
        out.string(
            "groupVersion",
            &GroupVersion::new(group, version).to_string(),
        );
        out.objects("resources", &entries, |entry, out| entry.write(out));
    })
}

/// An entry of an `APIResourceList`.
enum Entry<'a> {
    Resource(&'a Resource),
    Status(&'a Resource),
    Scale(&'a Resource),
}

impl Entry<'_> {
    fn write(&self, out: &mut ObjectWriter<'_>) {
        let (Self::Resource(resource) | Self::Status(resource) | Self::Scale(resource)) = self;
        let names = &resource.definition().names;
        let plural = &names.plural;
        match self {
            Self::Resource(_) => {
                out.string("name", plural);
                out.string("singularName", &names.singular);
            }
            Self::Status(_) => {
                out.string("name", &format!("{plural}/status"));
                out.string("singularName", "");
            }
            Self::Scale(_) => {
                out.string("name", &format!("{plural}/scale"));
                out.string("singularName", "");
            }
        }
        out.boolean("namespaced", resource.namespaced());
        match self {
            Self::Scale(_) => {
                out.string("group", "autoscaling");
                out.string("version", "v1");
                out.string("kind", "Scale");
            }
            Self::Resource(_) | Self::Status(_) => out.string("kind", &names.kind),
        }
        if !matches!(self, Self::Resource(_)) {
            out.value("verbs", &json!(SUBRESOURCE_VERBS));
            return;
        }
        out.value("verbs", &json!(resource.verbs()));
        if !names.short_names.is_empty() {
            out.value("shortNames", &json!(names.short_names));
        }
        if !names.categories.is_empty() {
            out.value("categories", &json!(names.categories));
        }
        out.string_unless_empty("storageVersionHash", &storage_version_hash(resource));
    }
}

/// Hash that identifies the storage version; empty if that version is not served, or if there is
/// no storage.
fn storage_version_hash(resource: &Resource) -> String {
    let Version { name, served, .. } = resource.storage_version();
    if !served || resource.review().is_some() {
        return String::new();
    }
    let definition = resource.definition();
    let text = format!("{}/{name}/{}", definition.group, definition.names.kind);
    STANDARD.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8])
}

fn fields(catalog: &Catalog, group: &str, out: &mut ObjectWriter<'_>) {
    let versions = catalog.versions(group);
    let write = |version: &&str, out: &mut ObjectWriter<'_>| {
        out.string("groupVersion", &format!("{group}/{version}"));
        out.string("version", version);
    };
    out.string("name", group);
    out.objects("versions", &versions, write);
    if let Some(preferred) = versions.first() {
        let mut object = out.object("preferredVersion");
        write(preferred, &mut object);
        object.end();
    }
}

fn document(kind: &str, fields: impl FnOnce(&mut ObjectWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    let mut out = ObjectWriter::begin(&mut bytes);
    out.string("kind", kind);
    out.string("apiVersion", "v1");
    fields(&mut out);
    out.end();
    bytes
}
