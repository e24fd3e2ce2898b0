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

#[test]
fn invalid_defaults_are_rejected() {
    let field = |schema: Value| {
        let spec = json!({"type": "object", "properties": {"a": schema}});
        json!({"type": "object", "properties": {"spec": spec}})
    };
    let default = ".properties[spec].properties[a].default";
    let wrong = |schema: Value, want: &[&str]| {
        let want: Vec<String> = want.iter().map(|text| format!("{default}{text}")).collect();
        let want: Vec<&str> = want.iter().map(String::as_str).collect();
        check(&field(schema), &want);
    };
    wrong(
        json!({"type": "string", "default": 5}),
        &[": Invalid value: \"integer\":  in body must be of type string: \"integer\""],
    );
    wrong(
        json!({"type": "string", "enum": ["x"], "default": "y"}),
        &[": Unsupported value: \"y\": supported values: \"x\""],
    );
    let box_of = |inner: Value, default: Value| json!({"type": "object", "properties": {"b": inner}, "default": default});
    wrong(
        box_of(json!({"type": "string"}), json!({"b": "x", "c": 1})),
        &[": Invalid value: {\"b\":\"x\",\"c\":1}: must not have unknown fields"],
    );
    wrong(
        box_of(json!({"type": "integer", "maximum": 0}), json!({"b": 1})),
        &[".b: Invalid value: 1: b in body should be less than or equal to 0"],
    );
    wrong(
        json!({
            "type": "object",
            "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true,
            "default": {"kind": "Pod"},
        }),
        &[".apiVersion: Required value"],
    );
    for good in [
        json!({"type": "string", "nullable": true, "default": null}),
        json!({"type": "number", "default": 1}),
        // kube-apiserver does not check these either.
        json!({"type": "object", "additionalProperties": {"type": "string", "default": 5}}),
    ] {
        check(&field(good), &[]);
    }
}

#[test]
fn defaults_of_the_object_itself_are_rejected() {
    let properties = json!({"metadata": {
        "type": "object", "properties": {"name": {"type": "string", "default": "x"}},
    }});
    check(
        &json!({"type": "object", "properties": properties}),
        &[
            ".properties[metadata].properties[name].default: Forbidden: must not be set in \
             top-level metadata",
        ],
    );
    let mut bare = manifest(&json!({"type": "object", "default": {}}));
    bare["spec"]["versions"][0]["subresources"] = Value::Null;
    let errors = Definition::from_manifest(&bare).expect_err("no type and no kind");
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let prefix = "spec.versions[0].schema.openAPIV3Schema.default";
    let want = ["apiVersion", "kind"].map(|key| format!("{prefix}.{key}: Required value"));
    assert_eq!(texts, want);
}

#[test]
fn defaults_of_embedded_metadata_are_checked_within_it() {
    let embedded = |name: &str| {
        let name = json!({"type": "string", "default": name});
        let metadata = json!({"type": "object", "properties": {"name": name}});
        let embedded = json!({
            "type": "object",
            "x-kubernetes-embedded-resource": true,
            "properties": {"metadata": metadata},
        });
        json!({"type": "object", "properties": {"e": embedded}})
    };
    check(&embedded("fine"), &[]);
    check(
        &embedded("a/b"),
        &[
            ".properties[e].properties[metadata].properties[name].default: Invalid value: \"a/b\": \
             must result in valid metadata: metadata.name: Invalid value: \"a/b\": may not contain \
             '/'",
        ],
    );
}

#[test]
fn misspelt_fields_are_rejected() {
    let spelt = |change: fn(&mut Value)| {
        let mut manifest = manifest(&json!({
            "type": "object", "properties": {"spec": {"type": "string"}},
        }));
        change(&mut manifest);
        Definition::from_manifest(&manifest)
    };
    for (change, want) in [
        (
            (|it| {
                it["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["maxLenght"] =
                    1.into()
            }) as fn(&mut Value),
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].maxLenght",
        ),
        (
            |it| it["spec"]["versions"][0]["subresource"] = json!({}),
            "spec.versions[0].subresource",
        ),
        (|it| it["spec"]["version"] = "v1".into(), "spec.version"),
        (|it| it["metadata"]["lables"] = json!({}), "metadata.lables"),
        (|it| it["stat"] = json!({}), "stat"),
    ] {
        let errors = spelt(change).expect_err(want);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [format!(
                "{want}: Forbidden: unknown field; check its spelling"
            )]
        );
    }
    // kube-apiserver drops unknown fields here, without a warning.
    let loaded = spelt(|it| {
        let schema = &mut it["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        schema["properties"]["l"] =
            json!({"type": "array", "items": {"type": "string", "maxLenght": 1}});
    });
    let warnings = loaded.expect("a definition").warnings;
    assert!(
        warnings[0].contains("items.maxLenght: unknown field"),
        "{warnings:?}"
    );
}

#[test]
fn groups_of_the_community_need_an_approval() {
    let of_group = |group: &str, approval: Option<&str>| {
        let mut manifest = manifest(&json!({"type": "object"}));
        manifest["spec"]["group"] = group.into();
        manifest["metadata"]["name"] = format!("foos.{group}").into();
        if let Some(approval) = approval {
            manifest["metadata"]["annotations"]["api-approved.kubernetes.io"] = approval.into();
        }
        Definition::from_manifest(&manifest).map(|_| ())
    };
    for (group, approval, served) in [
        ("lab.k8s.io", None, false),
        ("kubernetes.io", None, false),
        ("lab.k8s.io", Some("yes"), false),
        ("lab.k8s.io", Some("https://"), false),
        (
            "lab.k8s.io",
            Some("https://github.com/kubernetes/kubernetes/pull/1"),
            true,
        ),
        ("lab.kubernetes.io", Some("unapproved, experimental"), true),
        ("notk8s.io", None, true),
    ] {
        let errors = of_group(group, approval);
        assert_eq!(errors.is_ok(), served, "{group} {approval:?}: {errors:?}");
    }
}

#[test]
fn columns_after_an_unparsable_path_are_not_served() {
    let mut manifest = manifest(&json!({"type": "object"}));
    let column = |name: &str, path: &str| json!({"name": name, "type": "string", "jsonPath": path});
    let columns = [column("A", ".a"), column("B", ".b["), column("C", ".c")];
    manifest["spec"]["versions"][0]["additionalPrinterColumns"] = json!(columns);
    let loaded = Definition::from_manifest(&manifest).expect("a definition");
    let columns = &loaded.definition.versions[0].columns;
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["A"]);
    assert!(
        loaded.warnings[0].contains("unterminated array"),
        "{:?}",
        loaded.warnings
    );
}
