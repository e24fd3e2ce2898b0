//! Random kinds: definitions whose schemas kube-apiserver accepts.

use rand::prelude::*;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

/// The group of all kinds.
pub(super) const GROUP: &str = "judge.example.com";
/// The served versions; objects are stored in the first one.
pub(super) const VERSIONS: [&str; 2] = ["v1", "v2"];
/// Names of properties: few, so that writes overlap.
pub(super) const NAMES: [&str; 5] = ["a", "b", "c", "d", "e-f"];
/// Levels of lists and maps below `spec`.
const DEPTH: usize = 3;

/// A kind and its schemas.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// The kind, also the plural in lower case.
    pub(super) name: String,
    /// Schema of each of [`VERSIONS`].
    pub(super) schemas: Vec<Value>,
    /// Whether the status is a subresource.
    pub(super) status: bool,
    /// Whether there is a scale.
    pub(super) scale: bool,
}

// === impl Kind ===

impl Kind {
    /// A random kind.
    pub(super) fn random(rng: &mut StdRng, index: usize) -> Self {
        let scale = rng.random_bool(0.5);
        let (mut spec, mut status) = (properties(rng, DEPTH), properties(rng, 2));
        if scale {
            spec["properties"]["replicas"] = json!({"type": "integer"});
            status["properties"]["replicas"] = json!({"type": "integer"});
        }
        if rng.random_bool(0.2) {
            spec["default"] = json!({});
        }
        let root = json!({"type": "object", "properties": {"spec": spec, "status": status}});
        let mut other = root.clone();
        vary(rng, &mut other["properties"]["spec"]);
        Self {
            name: format!("Random{index}"),
            schemas: vec![root, other],
            status: rng.random_bool(0.8),
            scale,
        }
    }

    pub(super) fn plural(&self) -> String {
        self.name.to_lowercase()
    }

    /// The definition.
    pub(super) fn manifest(&self) -> Value {
        let mut subresources = Map::new();
        if self.status {
            subresources.insert("status".to_owned(), json!({}));
        }
        if self.scale {
            let paths = json!({
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
            });
            subresources.insert("scale".to_owned(), paths);
        }
        let versions = VERSIONS.iter().zip(&self.schemas).enumerate();
        let versions = versions.map(|(index, (version, schema))| {
            json!({
                "name": version,
                "served": true,
                "storage": index == 0,
                "subresources": subresources,
                "schema": {"openAPIV3Schema": schema},
            })
        });
        let (kind, plural) = (&self.name, self.plural());
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{GROUP}")},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {
                    "kind": kind,
                    "listKind": format!("{kind}List"),
                    "plural": plural,
                    "singular": plural,
                },
                "versions": versions.collect::<Vec<_>>(),
            },
        })
    }
}

/// A schema of any type.
fn schema(rng: &mut StdRng, depth: usize) -> Value {
    if depth == 0 {
        return scalar(rng);
    }
    match rng.random_range(0..16) {
        0..5 => scalar(rng),
        5..8 => object(rng, depth),
        8 => json!({"type": "object", "additionalProperties": schema(rng, depth - 1)}),
        9 => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        10..12 => json!({"type": "array", "items": schema(rng, depth - 1)}),
        12 => json!({
            "type": "array",
            "x-kubernetes-list-type": "set",
            "items": {"type": *["string", "integer"].choose(rng).unwrap_or(&"string")},
        }),
        13 => json!({"x-kubernetes-int-or-string": true}),
        _ => keyed_list(rng, depth),
    }
}

fn scalar(rng: &mut StdRng) -> Value {
    let (kind, default) = match rng.random_range(0..4) {
        0 => ("integer", json!(rng.random_range(0..3))),
        1 => ("number", json!(0.5)),
        2 => ("boolean", json!(true)),
        _ => ("string", json!("a")),
    };
    let mut schema = json!({"type": kind});
    if rng.random_bool(0.2) {
        schema["default"] = default;
    } else if rng.random_bool(0.15) {
        schema["nullable"] = json!(true);
    }
    schema
}

fn object(rng: &mut StdRng, depth: usize) -> Value {
    let mut schema = properties(rng, depth - 1);
    if rng.random_bool(0.15) {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    if rng.random_bool(0.1) {
        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    }
    if rng.random_bool(0.1) {
        schema["nullable"] = json!(true);
    }
    schema
}

fn properties(rng: &mut StdRng, depth: usize) -> Value {
    let count = rng.random_range(1..NAMES.len());
    let names: Vec<&str> = NAMES.choose_multiple(rng, count).copied().collect();
    let properties: Map<String, Value> = names
        .into_iter()
        .map(|name| (name.to_owned(), schema(rng, depth)))
        .collect();
    json!({"type": "object", "properties": properties})
}

/// A list whose items have one or two keys.
fn keyed_list(rng: &mut StdRng, depth: usize) -> Value {
    let mut items = properties(rng, depth - 1);
    let mut keys = vec!["k"];
    items["properties"]["k"] =
        json!({"type": *["string", "integer"].choose(rng).unwrap_or(&"string")});
    items["required"] = json!(["k"]);
    if rng.random_bool(0.4) {
        keys.push("n");
        items["properties"]["n"] = json!({"type": "string", "default": "a"});
    }
    json!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": keys,
        "items": items,
    })
}

/// Another version: lists and maps that are replaced instead of merged, and fewer properties.
fn vary(rng: &mut StdRng, schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    if map.contains_key("x-kubernetes-list-type") && rng.random_bool(0.1) {
        map.remove("x-kubernetes-list-type");
        map.remove("x-kubernetes-list-map-keys");
    }
    if map.contains_key("properties") && rng.random_bool(0.05) {
        map.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    for name in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(name) {
            vary(rng, below);
        }
    }
    // The items of lists have keys, which must stay.
    let removable = !map.contains_key("required");
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !removable || name == "replicas" || !rng.random_bool(0.08));
        for below in properties.values_mut() {
            vary(rng, below);
        }
    }
}
