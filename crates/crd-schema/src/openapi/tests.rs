//! Documents of one small kind. The scenarios compare complete documents with kube-apiserver's.

use serde_json::{Value, json};

use super::{Kind, v2, v3};

fn manifest(schema: &Value) -> Value {
    json!({"spec": {
        "group": "x.example.com",
        "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo", "listKind": "FooList"},
        "versions": [
            {"name": "v0", "served": false},
            {
                "name": "v1",
                "served": true,
                "subresources": {"status": {}, "scale": {}},
                "schema": {"openAPIV3Schema": schema},
                "selectableFields": [{"jsonPath": ".spec.a"}],
            },
        ],
    }})
}

#[test]
fn version_3_names_operations_and_schemas() {
    let schema =
        json!({"type": "object", "properties": {"spec": {"x-kubernetes-int-or-string": true}}});
    let document = v3(&Kind::of_manifest(&manifest(&schema)));
    let patch =
        &document["paths"]["/apis/x.example.com/v1/namespaces/{namespace}/foos/{name}"]["patch"];
    assert_eq!(patch["operationId"], "patchXExampleComV1NamespacedFoo");
    assert_eq!(patch["tags"], json!(["xExampleCom_v1"]));
    let names: Vec<&str> = patch["parameters"]
        .as_array()
        .expect("parameters")
        .iter()
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["dryRun", "fieldManager", "fieldValidation", "force"]
    );
    let scale = "/apis/x.example.com/v1/namespaces/{namespace}/foos/{name}/scale";
    assert_eq!(
        document["paths"][scale]["put"]["requestBody"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/io.k8s.api.autoscaling.v1.Scale"
    );
    let foo = &document["components"]["schemas"]["com.example.x.v1.Foo"];
    assert_eq!(
        foo["properties"]["spec"]["anyOf"],
        json!([{"type": "integer"}, {"type": "string"}])
    );
    assert_eq!(foo["x-kubernetes-group-version-kind"][0]["kind"], "Foo");
    assert_eq!(
        foo["x-kubernetes-selectable-fields"],
        json!([{"fieldPath": "spec.a"}])
    );
}

#[test]
fn version_2_omits_unsupported_keywords() {
    let schema = json!({
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "nullable": true},
            "b": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"c": {}}},
            "d": {"x-kubernetes-int-or-string": true},
        },
    });
    let document = v2(&Kind::of_manifest(&manifest(&schema)));
    let foo = &document["definitions"]["com.example.x.v1.Foo"];
    assert_eq!(foo.get("required"), None);
    assert_eq!(foo["properties"]["a"], json!({}));
    assert_eq!(
        foo["properties"]["b"],
        json!({"x-kubernetes-preserve-unknown-fields": true})
    );
    assert_eq!(
        foo["properties"]["d"],
        json!({"x-kubernetes-int-or-string": true})
    );
    assert_eq!(
        foo["properties"]["metadata"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    let item = &document["paths"]["/apis/x.example.com/v1/namespaces/{namespace}/foos/{name}"];
    let delete = &item["delete"]["parameters"][0]["$ref"];
    let body = delete.as_str().expect("a reference");
    let key = body.strip_prefix("#/parameters/").expect("to a parameter");
    assert_eq!(
        document["parameters"][key]["schema"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
    );
    let put = &item["put"];
    assert_eq!(put["parameters"][0]["in"], "body");
    assert_eq!(
        put["responses"]["200"]["schema"]["$ref"],
        "#/definitions/com.example.x.v1.Foo"
    );
}
