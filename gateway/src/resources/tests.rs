//! Catalogs from manifests, and stored values under their schemas.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::store::{Decoder as _, ResourceId};

const LIMIT: usize = 3 << 20;

fn crd(plural: &str, kind: &str, versions: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.x.io")},
        "spec": {
            "group": "x.io",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": versions,
        },
    })
}

fn version(name: &str, storage: bool, spec: &Value) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": spec},
        }}},
    })
}

fn catalog(manifests: &[Value]) -> Catalog {
    let add = |catalog: Catalog, manifest: &Value| {
        let text = kube_json::to_vec(manifest);
        let manifests = parse("test", &text, LIMIT).unwrap();
        catalog.with(manifests[0].resource.clone()).unwrap()
    };
    manifests.iter().fold(Catalog::default(), add)
}

fn foos() -> Catalog {
    let old = json!({"a": {"type": "string"}, "b": {"type": "integer", "default": 5}});
    let new = json!({"a": {"type": "string"}, "c": {"type": "string", "default": "x"}});
    let mut versions = json!([version("v1beta1", false, &old), version("v1", true, &new)]);
    versions[0]["deprecated"] = json!(true);
    versions[1]["selectableFields"] = json!([{"jsonPath": ".spec.a"}]);
    catalog(&[crd("foos", "Foo", &versions)])
}

/// The decoded form of a stored value: the head, and the object if it differs.
fn decode(stored: &Value) -> (Vec<(String, String)>, Option<Value>) {
    let value = Bytes::from(kube_json::to_vec(stored));
    let decoded = foos()
        .decode(&ResourceId::new("x.io", "foos"), &value)
        .unwrap();
    let object = decoded.value.map(|it| kube_json::parse(&it).unwrap().value);
    (decoded.head.fields, object)
}

fn foo(version: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("x.io/{version}"), "kind": "Foo",
        "metadata": {"name": "n", "namespace": "d", "generation": 1}, "spec": spec,
    })
}

#[test]
fn stored_object_is_served_with_defaults() {
    let (fields, changed) = decode(&foo("v1", &json!({"a": "q", "c": "y"})));
    assert_eq!(fields, [("spec.a".to_owned(), "q".to_owned())]);
    assert_eq!(changed, None);

    let (_, changed) = decode(&foo("v1", &json!({"a": "q", "gone": 1})));
    let expected = foo("v1", &json!({"a": "q", "c": "x"}));
    assert_eq!(changed, Some(expected));

    // Stored when v1beta1 was the storage version.
    let (_, changed) = decode(&foo("v1beta1", &json!({"a": "q"})));
    assert_eq!(changed, Some(foo("v1", &json!({"a": "q"}))));

    let mut old = foo("v1", &json!({"c": "x"}));
    old["metadata"]["generation"] = json!(0);
    old["metadata"]["bogus"] = json!(1);
    let (_, changed) = decode(&old);
    assert_eq!(changed, Some(foo("v1", &json!({"c": "x"}))));
}

#[test]
fn deepest_stored_body_is_readable() {
    let check = || {
        let any = json!({"any": {"x-kubernetes-preserve-unknown-fields": true}});
        let versions = json!([version("v1", true, &any), version("v2", false, &any)]);
        let catalog = catalog(&[crd("deeps", "Deep", &versions)]);
        // The object and its spec are levels as well.
        let levels = kube_json::MAX_DEPTH - 2;
        let text = format!(
            r#"{{"apiVersion":"x.io/v2","kind":"Deep","metadata":{{"generation":1,"name":"n"}},"spec":{{"any":{}{}}}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        );
        let mut body = kube_json::parse(text.as_bytes()).unwrap().value;
        let served = catalog.served("x.io", "v2", "deeps").unwrap();
        let (stored, _) = served.stored(&mut body).unwrap();
        let decoded = catalog.decode(&ResourceId::new("x.io", "deeps"), &stored);
        assert_eq!(decoded.unwrap().value, None);
        assert_eq!(served.view(&stored).unwrap(), text);
    };
    let thread = std::thread::Builder::new().stack_size(kube_json::STACK_SIZE);
    thread.spawn(check).unwrap().join().unwrap();
}

#[test]
fn served_versions_are_found() {
    let catalog = foos();
    assert_eq!(catalog.versions("x.io"), ["v1", "v1beta1"]);
    assert_eq!(catalog.groups().collect::<Vec<_>>(), ["x.io"]);
    let served = catalog.served("x.io", "v1", "foos").unwrap();
    assert!(served.is_storage() && served.warning().is_none());
    let served = catalog.served("x.io", "v1beta1", "foos").unwrap();
    assert_eq!(served.api_version(), "x.io/v1beta1");
    assert_eq!(
        served.warning(),
        Some("x.io/v1beta1 Foo is deprecated; use x.io/v1 Foo")
    );
    assert!(catalog.served("x.io", "v2", "foos").is_none());
    assert!(catalog.served("x.io", "v1", "bars").is_none());
}

fn check_error(text: &str, expected: &str) {
    let error = parse("file.yaml", text.as_bytes(), LIMIT).unwrap_err();
    assert!(
        error.to_string().starts_with(expected),
        "{error}\nexpected: {expected}"
    );
}

#[test]
fn load_errors_name_file_and_reason() {
    check_error("a: [", "file.yaml: yaml: ");
    check_error(
        "kind: Foo\napiVersion: v1\n",
        "file.yaml: Foo of v1 is not a CustomResourceDefinition",
    );
    check_error("a: 1\n", "file.yaml: a document without kind is no");
    check_error(
        "kind: Foo\n",
        "file.yaml: Foo without apiVersion is not a CustomResourceDefinition",
    );
    let mut manifest = crd("foos", "Foo", &json!([version("v1", true, &json!({}))]));
    manifest["spec"]["names"]["kind"] = json!("");
    check_error(
        &format!("# first\n---\n{manifest}\n---\n{manifest}"),
        "file.yaml: document 1: foos.x.io is invalid: ",
    );
    let mut manifest = crd("foos", "Foo", &json!([version("v1", true, &json!({}))]));
    manifest["metadata"]["annotations"] = json!({body_limit::ANNOTATION: "1Gi"});
    check_error(
        &manifest.to_string(),
        "file.yaml: foos.x.io is invalid: metadata.annotations[ark-apiserver.mckinsey.com/max-body-bytes]: Invalid value: \"1Gi\": must be a number of bytes",
    );
}

#[test]
fn directories_are_read_in_name_order() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: PathBuf| read_paths(&[path], LIMIT).unwrap_err().to_string();
    assert!(error(folder.path().join("nope")).contains("nope: "));
    assert!(error(folder.path().to_owned()).contains("no file ends in"));
    let empty = folder.path().join("empty.yaml");
    std::fs::write(&empty, "# nothing\n---\n").unwrap();
    for path in [&empty, folder.path()] {
        assert!(error(path.to_owned()).contains("contains no CustomResourceDefinition"));
    }
    let write = |file: &str, manifest: Value| {
        std::fs::write(folder.path().join(file), manifest.to_string()).unwrap();
    };
    let versions = json!([version("v1", true, &json!({}))]);
    write("b.yaml", crd("bars", "Bar", &versions));
    write("a.json", crd("foos", "Foo", &versions));
    std::fs::write(folder.path().join("note.txt"), "not a manifest").unwrap();
    let manifests = read_paths(&[folder.path().to_owned()], LIMIT).unwrap();
    let names: Vec<_> = manifests
        .iter()
        .map(|it| it.resource.id().to_string())
        .collect();
    assert_eq!(names, ["foos.x.io", "bars.x.io"]);

    write("c.yaml", crd("foos", "Other", &versions));
    let path = folder.path().join("c.yaml").display().to_string();
    let expected = format!("{path}: foos.x.io is defined a second time");
    assert_eq!(error(folder.path().to_owned()), expected);
    write("c.yaml", crd("others", "Foo", &versions));
    let expected = format!("{path}: others.x.io: kind Foo is already that of foos.x.io");
    assert_eq!(error(folder.path().to_owned()), expected);
}

#[test]
fn fingerprint_follows_files_through_symbolic_links() {
    // As kubelet mounts a ConfigMap: files link to `..data`, which is replaced as a whole.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, text: &str| {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("a.yaml"), text).unwrap();
        std::os::unix::fs::symlink(name, at("..tmp")).unwrap();
        std::fs::rename(at("..tmp"), at("..data")).unwrap();
    };
    version("..1", "x: 1");
    std::os::unix::fs::symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let fingerprint = || super::fingerprint(&[folder.path().to_owned()]);
    let first = fingerprint();
    assert_eq!(fingerprint(), first);
    version("..2", "x: 2");
    let second = fingerprint();
    assert_ne!(second, first);
    version("..3", "x: 1");
    assert_eq!(fingerprint(), first, "names of folders do not matter");
    std::fs::remove_file(at("a.yaml")).unwrap();
    let missing = fingerprint();
    assert!(missing != first && missing != second);
}

#[test]
fn scope_and_kind_are_immutable_while_objects_are_stored() {
    let versions = json!([version("v1", true, &json!({}))]);
    let manifest = crd("foos", "Foo", &versions);
    let old = catalog(&[manifest.clone(), crd("bars", "Bar", &versions)]);
    let changed = |pointer: &str, value: &str| {
        let mut manifest = manifest.clone();
        *manifest.pointer_mut(pointer).unwrap() = value.into();
        catalog(&[manifest])
    };
    let check = |new: &Catalog, stored: usize| {
        let verdict = old.check_successor(new, |_| stored);
        verdict.map_err(|conflict| conflict.to_string())
    };
    let cluster = changed("/spec/scope", "Cluster");
    let expected = "foos.x.io: spec.scope is immutable: it cannot change from Namespaced to Cluster \
                    while 3 objects are stored; delete them first";
    assert_eq!(check(&cluster, 3), Err(expected.to_owned()));
    assert_eq!(check(&cluster, 0), Ok(()));
    let renamed = changed("/spec/names/kind", "Fuu");
    let error = check(&renamed, 1).unwrap_err();
    assert!(
        error.starts_with("foos.x.io: spec.names.kind is immutable: "),
        "{error}"
    );
    assert_eq!(check(&catalog(std::slice::from_ref(&manifest)), 3), Ok(()));
    let missing: Vec<_> = old
        .missing_in(&cluster)
        .map(|it| it.id().to_string())
        .collect();
    assert_eq!(missing, ["bars.x.io"]);
}

#[test]
fn lists_and_several_json_documents_are_read() {
    let versions = json!([version("v1", true, &json!({}))]);
    let (foos, bars) = (crd("foos", "Foo", &versions), crd("bars", "Bar", &versions));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [foos, bars]});
    let mut bare = foos.clone();
    for key in ["apiVersion", "kind"] {
        bare.as_object_mut().unwrap().remove(key);
    }
    let of_one_kind = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinitionList",
        "items": [bare, bars],
    });
    let texts = [
        list.to_string(),
        of_one_kind.to_string(),
        format!("{foos}\n{bars}"),
    ];
    for text in texts {
        let manifests = parse("test", text.as_bytes(), LIMIT).unwrap();
        let names: Vec<_> = manifests
            .iter()
            .map(|it| it.resource.id().to_string())
            .collect();
        assert_eq!(names, ["foos.x.io", "bars.x.io"], "{text}");
    }
    check_error(
        &json!({"apiVersion": "v1", "kind": "List", "items": [foos, {"kind": "Pod", "apiVersion": "v1"}]}).to_string(),
        "file.yaml: item 2: Pod of v1 is not a CustomResourceDefinition",
    );
}
