//! OpenAPI documents of custom resources, versions 3 and 2, identical to those of kube-apiserver.

mod kubernetes;
mod operations;
pub mod proto;
mod schemas;
mod swagger;

use serde_json::{Map, Value, json};

use self::kubernetes::Published;

/// One version of a kind, as input of a document.
#[derive(Clone, Debug)]
pub struct Kind<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The kind of lists.
    pub list_kind: &'a str,
    /// The plural name in paths.
    pub plural: &'a str,
    /// Whether objects are namespaced.
    pub namespaced: bool,
    /// Whether there is a `status` subresource.
    pub status: bool,
    /// Whether there is a `scale` subresource.
    pub scale: bool,
    /// The `openAPIV3Schema` of the manifest.
    pub schema: &'a Value,
    /// The `jsonPath`s of the selectable fields.
    pub selectable_fields: Vec<&'a str>,
}

impl<'a> Kind<'a> {
    /// The served versions of a validated manifest; missing fields read as empty.
    #[must_use]
    pub fn of_manifest(manifest: &'a Value) -> Vec<Self> {
        let spec = &manifest["spec"];
        let names = &spec["names"];
        let text = |value: &'a Value| value.as_str().unwrap_or_default();
        let versions = spec["versions"].as_array().into_iter().flatten();
        versions
            .filter(|version| version["served"] == Value::Bool(true))
            .map(|version| Self {
                group: text(&spec["group"]),
                version: text(&version["name"]),
                kind: text(&names["kind"]),
                list_kind: text(&names["listKind"]),
                plural: text(&names["plural"]),
                namespaced: spec["scope"] == "Namespaced",
                status: version["subresources"]["status"].is_object(),
                scale: version["subresources"]["scale"].is_object(),
                schema: &version["schema"]["openAPIV3Schema"],
                selectable_fields: version["selectableFields"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|field| text(&field["jsonPath"]))
                    .collect(),
            })
            .collect()
    }
}

/// A version of OpenAPI.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edition {
    /// OpenAPI 2 (Swagger), which lacks `nullable`, `anyOf` and the like.
    V2,
    V3,
}

/// The OpenAPI 3 document of one group and version.
#[must_use]
pub fn v3(kinds: &[Kind<'_>]) -> Value {
    document(kinds, &Published::read(), Edition::V3)
}

/// The OpenAPI 2 document of all groups and versions.
#[must_use]
pub fn v2(kinds: &[Kind<'_>]) -> Value {
    let published = Published::read();
    let mut document = document(kinds, &published, Edition::V2);
    swagger::rewrite(&mut document, &published);
    document
}

/// A document in the structure of OpenAPI 3, with the schemas of an edition.
fn document(kinds: &[Kind<'_>], published: &Published, edition: Edition) -> Value {
    let mut paths = Map::new();
    let mut definitions = schemas::meta(kinds, published);
    for kind in kinds {
        operations::add(kind, published, &mut paths);
        schemas::add(kind, published, edition, &mut definitions);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
        "paths": paths,
        "components": {"schemas": definitions},
    })
}

/// `com.example.x.v1.Foo` for `Foo` of `x.example.com/v1`.
fn model_name(kind: &Kind<'_>, name: &str) -> String {
    let mut parts: Vec<&str> = group_name(kind).split('.').rev().collect();
    parts.push(kind.version);
    parts.push(name);
    parts.join(".")
}

/// The group in names of models and operations.
fn group_name<'a>(kind: &Kind<'a>) -> &'a str {
    if kind.group.is_empty() {
        "core"
    } else {
        kind.group
    }
}

/// The response type of the `scale` subresource.
const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The name of one of Kubernetes' own types.
fn meta_name(name: &str) -> String {
    format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}")
}

#[cfg(test)]
mod tests;
