//! Aggregated discovery: `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.

use crd_schema::Version;
use kube_json::ObjectWriter;
use serde_json::json;

use super::SUBRESOURCE_VERBS;
use crate::resources::{Catalog, Resource};

/// The core group: `v1`, without resources unless there are built-in kinds. client-go resolves the
/// kind `List` of a manifest by this version.
pub(super) fn core(catalog: &Catalog) -> Vec<u8> {
    document(|out| {
        out.objects("items", [()], |(), out| {
            out.object("metadata").end();
            out.objects("versions", ["v1"], |version, out| {
                if catalog.group("").next().is_none() {
                    out.string("version", version);
                    out.string("freshness", "Current");
                } else {
                    write_version(catalog, "", version, out);
                }
            });
        });
    })
}

/// The document of these groups.
pub(super) fn groups(catalog: &Catalog, names: &[&str]) -> Vec<u8> {
    document(|out| {
        out.objects("items", names, |name, out| {
            let mut metadata = out.object("metadata");
            metadata.string("name", name);
            metadata.end();
            let versions = catalog.versions(name);
            out.objects("versions", versions, |version, out| {
                write_version(catalog, name, version, out);
            });
        });
    })
}

fn document(items: impl FnOnce(&mut ObjectWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 << 10);
    let mut out = ObjectWriter::begin(&mut bytes);
    out.string("kind", "APIGroupDiscoveryList");
    out.string("apiVersion", "apidiscovery.k8s.io/v2");
    out.object("metadata").end();
    items(&mut out);
    out.end();
    bytes
}

fn write_version(catalog: &Catalog, group: &str, name: &str, out: &mut ObjectWriter<'_>) {
    let resources = catalog.group(group).filter_map(|resource| {
        let version = resource.definition().version(name)?;
        version.served.then_some((&**resource, version))
    });
    out.string("version", name);
    out.objects("resources", resources, |(resource, version), out| {
        write_resource(resource, version, out);
    });
    out.string("freshness", "Current");
}

fn write_resource(resource: &Resource, version: &Version, out: &mut ObjectWriter<'_>) {
    let definition = resource.definition();
    let names = &definition.names;
    let own = (&*definition.group, &*version.name, &*names.kind);
    let scope = if resource.namespaced() {
        "Namespaced"
    } else {
        "Cluster"
    };
    out.string("resource", &names.plural);
    write_kind(own, out);
    out.string("scope", scope);
    out.string("singularResource", &names.singular);
    out.value("verbs", &json!(resource.verbs()));
    if !names.short_names.is_empty() {
        out.value("shortNames", &json!(names.short_names));
    }
    if !names.categories.is_empty() {
        out.value("categories", &json!(names.categories));
    }
    let status = version.status.then_some(("status", own));
    let scale = version.scale.is_some();
    let scale = scale.then_some(("scale", ("autoscaling", "v1", "Scale")));
    if status.is_some() || scale.is_some() {
        let subresources = status.into_iter().chain(scale);
        out.objects("subresources", subresources, |(name, kind), out| {
            out.string("subresource", name);
            write_kind(kind, out);
            out.value("verbs", &json!(SUBRESOURCE_VERBS));
        });
    }
}

fn write_kind((group, version, kind): (&str, &str, &str), out: &mut ObjectWriter<'_>) {
    let mut object = out.object("responseKind");
    object.string("group", group);
    object.string("version", version);
    object.string("kind", kind);
    object.end();
}
