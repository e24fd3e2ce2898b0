//! Valid and invalid manifests.

use serde_json::{Value, json};

use super::{Definition, Scope};

fn manifest(schema: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.x.example.com"},
        "spec": {
            "group": "x.example.com",
            "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
            }],
        },
    })
}

#[test]
fn missing_names_get_defaults() {
    let loaded = Definition::from_manifest(&manifest(&json!({"type": "object"})));
    let definition = loaded.expect("a definition").definition;
    assert_eq!(definition.names.singular, "foo");
    assert_eq!(definition.names.list_kind, "FooList");
    assert_eq!(definition.scope, Scope::Namespaced);
    assert_eq!(definition.versions[0].columns[0].name, "Age");
    assert!(definition.versions[0].status);
}

/// Compares the errors of a schema with those of kube-apiserver.
fn check(schema: &Value, want: &[&str]) {
    let prefix = "spec.versions[0].schema.openAPIV3Schema";
    let errors = match Definition::from_manifest(&manifest(schema)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    let want: Vec<String> = want.iter().map(|text| format!("{prefix}{text}")).collect();
    assert_eq!(errors, want, "{schema}");
}

#[test]
fn invalid_schemas_are_rejected() {
    check(
        &json!({}),
        &[".type: Required value: must not be empty at the root"],
    );
    let nested = |spec: Value| json!({"type": "object", "properties": {"spec": spec}});
    check(
        &nested(json!({})),
        &[".properties[spec].type: Required value: must not be empty for specified object fields"],
    );
    check(
        &nested(json!({"type": "array"})),
        &[".properties[spec].items: Required value: must be specified"],
    );
    check(
        &nested(json!({"type": "object", "anyOf": [{"properties": {"x": {"type": "string"}}}]})),
        &[
            ".properties[spec].anyOf[0].properties[x].type: Forbidden: must be empty to be structural",
        ],
    );
    check(
        &nested(json!({"type": "string", "pattern": "["})),
        &[
            ".properties[spec].pattern: Invalid value: \"[\": must be a valid regular expression, \
             but isn't: error parsing regexp: missing closing ]: `[`",
        ],
    );
    check(
        &nested(json!({"type": "int"})),
        &[
            ".properties[spec].type: Unsupported value: \"int\": supported values: \"array\", \
             \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ],
    );
    let int_or_string = json!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
    });
    check(&nested(int_or_string), &[]);
}
