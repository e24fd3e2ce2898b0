//! Comparison of the CRDs' schemas with those that the gateway serves. A field that the gateway does
//! not know is dropped at the next write of an object.

use serde_json::Value;

use crate::crds::cluster::Definition;

/// Prefix of references in an OpenAPI document.
const REFERENCE: &str = "#/components/schemas/";
/// Depth at which the comparison ends; schemas of CRDs are not recursive.
const MAX_DEPTH: usize = 64;

/// Returns the paths of fields of a version of a CRD that the gateway's document lacks; `None` if it
/// lacks the kind.
pub(super) fn lost_fields(
    definition: &Definition,
    version: &str,
    document: &Value,
) -> Option<Vec<String>> {
    let spec = &definition.object["spec"];
    let schemas = document["components"]["schemas"].as_object()?;
    let wanted = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.into_iter().flatten().any(|it| {
            it["group"] == spec["group"]
                && it["version"] == version
                && it["kind"] == spec["names"]["kind"]
        })
    };
    let served = schemas.values().find(wanted)?;
    let mut versions = spec["versions"].as_array().into_iter().flatten();
    let own = versions.find(|it| it["name"] == version)?;
    let own = &own["schema"]["openAPIV3Schema"];
    let mut lost = Vec::new();
    compare(own, served, document, "", 0, &mut lost);
    Some(lost)
}

fn compare(
    own: &Value,
    served: &Value,
    document: &Value,
    path: &str,
    depth: usize,
    lost: &mut Vec<String>,
) {
    let served = resolved(served, document);
    if depth > MAX_DEPTH || keeps_unknown(served) {
        return;
    }
    if keeps_unknown(own) && !keeps_unknown(served) {
        lost.push(format!("{path}.* (any field)"));
        return;
    }
    if own["x-kubernetes-embedded-resource"] == true {
        return;
    }
    for (name, field) in own["properties"].as_object().into_iter().flatten() {
        // The server's own fields are the same everywhere.
        if path.is_empty() && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
            continue;
        }
        let path = format!("{path}.{name}");
        match served["properties"].get(name) {
            Some(there) => compare(field, there, document, &path, depth + 1, lost),
            None if served["additionalProperties"].is_object() => {}
            None => lost.push(path),
        }
    }
    if own["items"].is_object() {
        let path = format!("{path}[]");
        compare(
            &own["items"],
            &served["items"],
            document,
            &path,
            depth + 1,
            lost,
        );
    }
    let values = &own["additionalProperties"];
    if values.is_object() {
        let path = format!("{path}.*");
        let there = &served["additionalProperties"];
        if there.is_object() {
            compare(values, there, document, &path, depth + 1, lost);
        } else if there != true {
            lost.push(path);
        }
    }
}

fn keeps_unknown(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true || schema["additionalProperties"] == true
}

/// Follows a reference, which OpenAPI also writes as the only element of `allOf`.
fn resolved<'v>(schema: &'v Value, document: &'v Value) -> &'v Value {
    let direct = schema["$ref"].as_str();
    let reference = direct.or_else(|| schema["allOf"][0]["$ref"].as_str());
    let name = reference.and_then(|it| it.strip_prefix(REFERENCE));
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::lost_fields;
    use crate::crds::cluster::Definition;
    use crate::crds::testing::kind;

    fn definition(schema: &Value) -> Definition {
        Definition {
            kind: Arc::new(kind()),
            object: json!({"spec": {"group": "g", "names": {"kind": "R"}, "versions": [
                {"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}),
        }
    }

    fn document(mut schema: Value) -> Value {
        schema["x-kubernetes-group-version-kind"] =
            json!([{"group": "g", "version": "v1", "kind": "R"}]);
        json!({"components": {"schemas": {"r": schema,
            "meta": {"properties": {"name": {}}}}}})
    }

    #[test]
    fn fields_that_the_gateway_would_drop_are_named() {
        let own = json!({"properties": {
            "metadata": {"type": "object"},
            "spec": {"properties": {
                "a": {"type": "string"},
                "list": {"items": {"properties": {"b": {}}}},
                "map": {"additionalProperties": {"properties": {"c": {}}}},
                "any": {"x-kubernetes-preserve-unknown-fields": true},
            }},
        }});
        let mut served = own.clone();
        served["properties"]["metadata"] =
            json!({"allOf": [{"$ref": "#/components/schemas/meta"}]});
        let lost = |served: Value| lost_fields(&definition(&own), "v1", &document(served));
        assert_eq!(lost(served.clone()), Some(Vec::new()));
        let spec = served["properties"]["spec"]["properties"].as_object_mut();
        let spec = spec.expect("fields");
        spec.remove("a");
        spec.insert("list".to_owned(), json!({"items": {"properties": {}}}));
        spec.insert(
            "map".to_owned(),
            json!({"additionalProperties": {"type": "string"}}),
        );
        spec.insert("any".to_owned(), json!({"properties": {}}));
        let expected = [
            ".spec.a",
            ".spec.any.* (any field)",
            ".spec.list[].b",
            ".spec.map.*.c",
        ];
        assert_eq!(lost(served), Some(expected.map(ToOwned::to_owned).to_vec()));
        assert_eq!(
            lost_fields(&definition(&own), "v2", &document(own.clone())),
            None
        );
    }
}
