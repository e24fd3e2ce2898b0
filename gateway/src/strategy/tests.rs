//! Metadata rules, case by case; the texts are kube-apiserver's.

use api_types::field::{self, Errors};
use api_types::meta::Meta;
use api_types::options::PropagationPolicy;
use crd_schema::object_meta::{self, NameRule};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::metadata;
use super::prepare::{self, Part};
use super::{finalizers, generate_name, owners};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn check(metadata: Value, expected: &str) {
    let mut object = json!({});
    object["metadata"] = metadata;
    let mut errors = Errors::new();
    object_meta::validate(Meta::of(&object), true, NameRule::Subdomain, &mut errors);
    assert_eq!(field::aggregate(&errors), expected, "{object}");
}

#[test]
fn metadata_is_validated() {
    check(json!({"name": "a", "namespace": "d"}), "");
    check(
        json!({"namespace": "d"}),
        "metadata.name: Required value: name or generateName is required",
    );
    check(
        json!({"name": "A", "namespace": "d"}),
        &format!("metadata.name: Invalid value: \"A\": {SUBDOMAIN}"),
    );
    check(json!({"name": "a"}), "metadata.namespace: Required value");
    check(
        json!({"name": "a-x", "generateName": "a-", "namespace": "d"}),
        "",
    );
    check(
        json!({"name": "AB-x", "generateName": "AB-", "namespace": "d"}),
        &format!(
            "[metadata.generateName: Invalid value: \"AB-\": {SUBDOMAIN}, metadata.name: Invalid \
             value: \"AB-x\": {SUBDOMAIN}]"
        ),
    );
    check(
        json!({"name": "a", "namespace": "d", "annotations": {"big": "x".repeat(256 << 10)}}),
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    );
    check(
        json!({"name": "a", "namespace": "d", "finalizers": ["orphan", "foregroundDeletion"]}),
        "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer \
         orphan and foregroundDeletion cannot be both set",
    );
    check(
        json!({"name": "a", "namespace": "d", "ownerReferences": [{"apiVersion": "a/b/c"}]}),
        "[metadata.ownerReferences[0].apiVersion: Invalid value: \"a/b/c\": must be \
         <group>/<version> or <version>, metadata.ownerReferences[0].kind: Required value: must \
         not be empty, metadata.ownerReferences[0].name: Required value: must not be empty, \
         metadata.ownerReferences[0].uid: Required value: must not be empty]",
    );
}

fn check_update(old: Value, new: Value, expected: &str) {
    let base = json!({"name": "a", "resourceVersion": "5", "generation": 3, "uid": "u"});
    let merged = |changes: Value| {
        let mut metadata = base.clone();
        for (key, value) in changes.as_object().cloned().unwrap_or_default() {
            metadata[key] = value;
        }
        json!({"metadata": metadata})
    };
    let (old, new) = (merged(old), merged(new));
    let mut errors = Errors::new();
    metadata::validate_update(Meta::of(&new), Meta::of(&old), &mut errors);
    assert_eq!(field::aggregate(&errors), expected, "{old} {new}");
}

#[test]
fn metadata_updates_are_validated() {
    check_update(json!({}), json!({"labels": {"a": "b"}}), "");
    check_update(
        json!({}),
        json!({"uid": "v"}),
        "metadata.uid: Invalid value: \"v\": field is immutable",
    );
    check_update(
        json!({}),
        json!({"generation": 2}),
        "metadata.generation: Invalid value: 2: must not be decremented",
    );
    check_update(
        json!({}),
        json!({"deletionTimestamp": "2020-01-01T00:00:00Z"}),
        "metadata.deletionTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is immutable",
    );
    check_update(
        json!({"deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["a/b"]}),
        json!({"deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["a/b", "c/d"]}),
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being \
         deleted, found new finalizers []string{\"c/d\"}",
    );
}

fn check_generation(old: Value, new: Value, part: Part, has_status: bool, expected: Value) {
    let mut old = old;
    old["metadata"]["generation"] = 4.into();
    let mut object = new;
    prepare::update(&mut object, &old, part, has_status);
    let mut wanted = object.clone();
    wanted["metadata"]["generation"] = expected;
    assert_eq!(object, wanted, "{old}");
}

#[test]
fn generation_increases_on_content_change() {
    let object = |spec: i64, status: i64| json!({"spec": spec, "status": status});
    let (main, status) = (Part::Main, Part::Status);
    check_generation(object(1, 1), object(2, 1), main, true, json!(5));
    check_generation(object(1, 1), object(1, 2), main, true, json!(4));
    check_generation(object(1, 1), object(1, 2), main, false, json!(5));
    check_generation(object(1, 1), object(2, 2), status, true, json!(4));
    let labelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": 1, "status": 1});
    check_generation(object(1, 1), labelled, main, false, json!(4));
}

#[test]
fn status_update_changes_status_only() {
    let old = json!({"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": 1, "status": 1});
    let mut object = json!({"metadata": {"name": "a", "finalizers": ["x/y"]}, "spec": 2});
    prepare::update(&mut object, &old, Part::Status, true);
    assert_eq!(
        object,
        json!({"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": 1})
    );
}

#[test]
fn update_restores_server_owned_fields() {
    let old = json!({"metadata": {
        "creationTimestamp": "2020-01-01T00:00:00Z", "deletionTimestamp": "2021-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 0, "generation": 2, "name": "a", "uid": "u",
    }});
    let mut object = json!({"metadata": {
        "creationTimestamp": "2022-01-01T00:00:00Z", "generation": 9, "name": "a",
    }});
    prepare::update(&mut object, &old, Part::Main, true);
    assert_eq!(object, old);
}

#[test]
fn object_with_finalizers_is_marked_once() {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let mut object = json!({"metadata": {"generation": 1}});
    prepare::mark_deleting(&mut object, now);
    let marked = json!({"metadata": {
        "deletionGracePeriodSeconds": 0,
        "deletionTimestamp": "2026-01-02T03:04:05Z",
        "generation": 2,
    }});
    assert_eq!(object, marked);
    prepare::mark_deleting(&mut object, "2026-02-02T03:04:05Z".parse().unwrap());
    assert_eq!(object, marked);
}

fn check_deletion(before: &[&str], policy: Option<PropagationPolicy>, expected: &[&str]) {
    let mut object = json!({"metadata": {"finalizers": before}});
    finalizers::for_deletion(&mut object, policy);
    let after: Vec<&str> = Meta::of(&object).finalizers().collect();
    assert_eq!(after, expected, "{before:?} {policy:?}");
}

#[test]
fn deletion_sets_garbage_collector_finalizers() {
    use PropagationPolicy::{Background, Foreground, Orphan};
    check_deletion(&[], None, &[]);
    check_deletion(&[], Some(Foreground), &["foregroundDeletion"]);
    check_deletion(&["x/y"], Some(Orphan), &["x/y", "orphan"]);
    check_deletion(
        &["orphan", "x/y"],
        Some(Foreground),
        &["x/y", "foregroundDeletion"],
    );
    check_deletion(&["orphan", "x/y"], Some(Background), &["x/y"]);
    check_deletion(&["orphan", "x/y"], None, &["orphan", "x/y"]);
}

#[test]
fn new_finalizers_without_domain_cause_warning() {
    let old = json!({"metadata": {"finalizers": ["old"]}});
    let new =
        json!({"metadata": {"finalizers": ["old", "plain", "dotted.io", "a.io/b", "orphan"]}});
    let warnings = finalizers::warnings(Meta::of(&new), Some(Meta::of(&old)));
    assert_eq!(
        warnings.collect::<Vec<_>>(),
        [
            "metadata.finalizers: \"dotted.io\": prefer a domain-qualified finalizer name \
             including a path (/) to avoid accidental conflicts with other finalizer writers",
            "metadata.finalizers: \"plain\": prefer a domain-qualified finalizer name to avoid \
             accidental conflicts with other finalizer writers",
        ]
    );
}

#[test]
fn duplicate_owners_are_removed() {
    let owner = |uid: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid});
    let mut object = json!({"metadata": {"ownerReferences": [owner("1"), owner("2"), owner("1")]}});
    assert_eq!(owners::deduplicate(&mut object), ["1"]);
    assert_eq!(
        object["metadata"]["ownerReferences"],
        json!([owner("1"), owner("2")])
    );
    assert_eq!(owners::deduplicate(&mut object), [""; 0]);
}

#[test]
fn generated_names_fit_length_limit() {
    let name = generate_name::generate("query-");
    assert_eq!((name.len(), &name[..6]), (11, "query-"));
    assert_eq!(generate_name::generate(&"x".repeat(70)).len(), 63);
    assert_ne!(generate_name::generate("a"), generate_name::generate("a"));
}

/// Counts the errors of metadata with very many errors, as lists with and without duplicates.
fn bounded(metadata: &Value) -> (usize, usize) {
    let object = json!({"metadata": metadata});
    let judge = |mut errors: Errors| {
        object_meta::validate(Meta::of(&object), true, NameRule::Subdomain, &mut errors);
        let bytes: usize = errors.iter().map(field::Error::size).sum();
        assert!(bytes < 3 * field::MAX_BYTES, "{bytes}");
        errors.len()
    };
    (judge(Errors::new()), judge(Errors::distinct()))
}

#[test]
fn metadata_errors_are_bounded() {
    let named = |rest: Value| {
        let mut metadata = json!({"name": "a", "namespace": "d"});
        let fields = rest.as_object().cloned().unwrap_or_default();
        metadata.as_object_mut().unwrap().extend(fields);
        metadata
    };
    let bad = |n: usize| format!("not a name {n}");
    let texts: serde_json::Map<_, _> = (0..50_000).map(|n| (bad(n), json!("x"))).collect();
    let names: Vec<String> = (0..50_000).map(bad).collect();
    for metadata in [
        json!({"labels": texts}),
        json!({"annotations": texts}),
        json!({"finalizers": names}),
    ] {
        let (all, distinct) = bounded(&named(metadata));
        assert!((1_000..20_000).contains(&all), "{all}");
        assert_eq!(all, distinct);
    }
    let repeated = vec!["not a name"; 50_000];
    let (all, distinct) = bounded(&named(json!({"finalizers": repeated})));
    assert!((1_000..20_000).contains(&all), "{all}");
    assert_eq!(distinct, 1);
}

#[test]
fn owner_errors_are_bounded() {
    let owner = |n: usize| json!({"apiVersion": "v1", "kind": "Pod", "name": format!("p{n}"), "uid": "u", "controller": true});
    let owners = |names: &dyn Fn(usize) -> usize| {
        let references: Vec<Value> = (0..3_000).map(|n| owner(names(n))).collect();
        bounded(&json!({"name": "a", "namespace": "d", "ownerReferences": references}))
    };
    let (all, distinct) = owners(&|n| n);
    assert!(all < 20 && distinct < 20, "{all} {distinct}");
    let (_, distinct) = owners(&|_| 0);
    assert_eq!(distinct, 1);
}

/// Pairwise comparison of 60,000 references would take minutes.
#[test]
fn deduplication_of_60000_owners_is_fast() {
    let owner =
        |n: usize| json!({"apiVersion": "v1", "kind": "P", "name": "p", "uid": n.to_string()});
    let mut references: Vec<Value> = (0..60_000).map(owner).collect();
    references.push(owner(7));
    let mut object = json!({"metadata": {"ownerReferences": references}});
    assert_eq!(owners::deduplicate(&mut object), ["7"]);
    let kept = object["metadata"]["ownerReferences"]
        .as_array()
        .map(Vec::len);
    assert_eq!(kept, Some(60_000));
}
