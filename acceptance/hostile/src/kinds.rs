//! The kinds under attack: one without validation, one with every kind of validation.

use serde_json::{Value, json};

/// Group and version of both kinds.
pub(crate) const GROUP: &str = "/apis/hostile.example.com/v1";
/// Values of the enum; each error about the field repeats all of them.
pub(crate) const ENUM_VALUES: usize = 2_000;
/// Required fields of an item.
const REQUIRED_FIELDS: usize = 100;
/// Defaulted fields of an item, and bytes of each default.
const DEFAULTED_FIELDS: usize = 20;
const DEFAULT_BYTES: usize = 1_000;

/// Branches of an `anyOf`; each validates all items of a list.
const BRANCHES: usize = 60;
/// Levels of nested lists that a default adds to an absent field.
const NESTED: usize = 8;

/// Path of a kind's objects in a namespace.
pub(crate) fn collection(namespace: &str, plural: &str) -> String {
    format!("{GROUP}/namespaces/{namespace}/{plural}")
}

/// The manifests, as a file for `--resources`.
pub(crate) fn manifests() -> String {
    format!("{:#}\n---\n{:#}\n", blobs(), forms())
}

fn manifest(plural: &str, kind: &str, version: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.hostile.example.com")},
        "spec": {
            "group": "hostile.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind,
                "listKind": format!("{kind}List")},
            "versions": [version],
        },
    })
}

fn subresources() -> Value {
    json!({
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    })
}

/// A kind that preserves unknown fields in spec and status.
fn blobs() -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({
        "name": "v1", "served": true, "storage": true,
        "subresources": subresources(),
        "additionalPrinterColumns": [
            {"name": "Items", "type": "string", "jsonPath": ".spec.items[*]"},
            {"name": "Data", "type": "string", "jsonPath": ".spec.data"},
        ],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"replicas": {"type": "integer"}}},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}},
            "extra": any,
        }}},
    });
    manifest("blobs", "Blob", &version)
}

/// Every kind of validation, each on the items of a list.
fn forms() -> Value {
    let version = json!({
        "name": "v1", "served": true, "storage": true,
        "subresources": subresources(),
        "selectableFields": [{"jsonPath": ".spec.color"}],
        "additionalPrinterColumns": [
            {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
            {"name": "Parts", "type": "string", "jsonPath": ".spec.parts[*].name"},
        ],
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": form_fields()},
            "status": {"type": "object", "properties": {
                "replicas": {"type": "integer"}, "selector": {"type": "string"},
                "choices": form_fields()["choices"]}},
        }}},
    });
    manifest("forms", "Form", &version)
}

fn form_fields() -> Value {
    let choices: Vec<String> = (0..ENUM_VALUES).map(|n| format!("choice-{n:04}")).collect();
    let text = json!({"type": "string"});
    let names: Vec<String> = (0..REQUIRED_FIELDS)
        .map(|n| format!("field{n:02}"))
        .collect();
    let required: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| (name.clone(), text.clone()))
        .collect();
    let defaulted: serde_json::Map<String, Value> = (0..DEFAULTED_FIELDS)
        .map(|n| {
            let default = "d".repeat(DEFAULT_BYTES);
            (
                format!("default{n:02}"),
                json!({"type": "string", "default": default}),
            )
        })
        .collect();
    let branches: Vec<Value> = (0..10)
        .map(|n| json!({"required": [format!("b{n}")]}))
        .collect();
    let branch_fields: serde_json::Map<String, Value> =
        (0..10).map(|n| (format!("b{n}"), text.clone())).collect();
    let looks: Vec<Value> = (0..BRANCHES)
        .map(|n| json!({"items": {"enum": [format!("v{n}")]}}))
        .collect();
    json!({
        "looks": {"type": "array", "items": {"type": "string"}, "anyOf": looks},
        "nested": {"type": "array", "items": {"type": "object", "properties": {
            "lists": {"type": "array", "default": nested_lists(NESTED), "items": lists_of(NESTED)}}}},
        "embedded": {"type": "array", "items": {
            "type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true}},
        "replicas": {"type": "integer", "minimum": 0},
        "color": text,
        "choices": {"type": "array", "items": {"type": "string", "enum": choices}},
        "required": {"type": "array", "items": {
            "type": "object", "required": names, "properties": required}},
        "defaulted": {"type": "array", "items": {"type": "object", "properties": defaulted}},
        "patterns": {"type": "array", "items": {
            "type": "string", "pattern": "^([a-z]+[0-9]+)*$", "maxLength": 8}},
        "numbers": {"type": "array", "items": {
            "type": "integer", "minimum": 0, "maximum": 9, "multipleOf": 3}},
        "dates": {"type": "array", "items": {"type": "string", "format": "date-time"}},
        "variants": {"type": "array", "items": {
            "type": "object", "properties": branch_fields, "anyOf": branches,
            "not": {"required": ["b0"]}}},
        "parts": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {
                "name": text, "value": text}}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
        "maps": {"type": "object", "additionalProperties": {
            "type": "object", "additionalProperties": {"type": "integer"}}},
    })
}

/// `[[…[]…]]`.
fn nested_lists(levels: usize) -> Value {
    (0..levels).fold(json!([]), |inner, _| json!([inner]))
}

/// Schema of [`nested_lists`].
fn lists_of(levels: usize) -> Value {
    let innermost = json!({"type": "array", "items": {"type": "string"}});
    (1..levels).fold(
        innermost,
        |inner, _| json!({"type": "array", "items": inner}),
    )
}
