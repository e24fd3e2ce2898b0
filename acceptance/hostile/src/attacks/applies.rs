//! Managed fields and server-side apply: large and deep sets, many managers, conflicts and lists.

use http::Method;

use super::requests::{
    APPLY, JSON, JSON_PATCH, MERGE, dry, dry_small, joined, object, object_path,
};
use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::{kinds, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "applies/fields",
        "fieldsV1 of 1 MiB: wide, of long keys, 500 deep, with repeated and malformed members",
        fields,
    ),
    Attack::requests(
        "applies/managers",
        "10,000 managers of an object, by every kind of write",
        managers,
    ),
    Attack::requests(
        "applies/lists",
        "applies of 30,000 items, tags and map entries, distinct and equal, with and without force",
        lists,
    ),
    Attack::requests(
        "applies/conflicts",
        "applies that conflict with the owner of 10,000 fields, and by kubectl",
        conflicts,
    ),
    Attack::requests(
        "applies/depth",
        "applies of values 500 and 9,000 deep, to object, status and scale",
        depth,
    ),
];

/// Bytes of a large `fieldsV1`.
const FIELDS_BYTES: usize = 1 << 20;
/// Managers of one object.
const MANAGERS: usize = 10_000;
/// Items of an applied list. 50,000 take up to 245 MiB, which leaves no margin: see the consequences in
/// docs/adr/0024-field-management.md.
const ITEMS: usize = 30_000;
/// Fields of another manager.
const CONFLICTS: usize = 10_000;

fn entry(manager: &str, fields: &str) -> String {
    format!(
        r#"{{"manager":"{manager}","operation":"Update","apiVersion":"hostile.example.com/v1","fieldsType":"FieldsV1","fieldsV1":{fields}}}"#
    )
}

/// Entries by every kind of write that may bring some.
fn with_entries(what: &'static str, entries: &str) -> Vec<Shot> {
    let metadata = format!(r#","managedFields":[{entries}]"#);
    let merge = format!(r#"{{"metadata":{{"managedFields":[{entries}]}},"spec":{{"data":"x"}}}}"#);
    let patch = format!(r#"[{{"op":"add","path":"/metadata/managedFields","value":[{entries}]}}]"#);
    let small = dry_small("blobs", "");
    let whole = |name| object("blobs", name, &metadata, r#"{"data":"x"}"#);
    [
        Request::send(Method::POST, dry("blobs"), JSON, whole("new")),
        Request::send(Method::PUT, small.clone(), JSON, whole(seed::SMALL)),
        Request::send(Method::PATCH, small.clone(), MERGE, merge),
        Request::send(Method::PATCH, small, JSON_PATCH, patch),
    ]
    .into_iter()
    .map(|request| Shot::new(what, request))
    .collect()
}

fn fields() -> Vec<Shot> {
    let wide = joined(FIELDS_BYTES / 16, |n| format!(r#""f:field{n:06}":{{}}"#));
    let long = joined(FIELDS_BYTES / 1024, |n| {
        let text = "x".repeat(960);
        format!(r#""k:{{\"a\":\"{n:06}{text}\"}}":{{}}"#)
    });
    let odd = joined(FIELDS_BYTES / 24, |n| match n % 4 {
        0 => r#""v:[[[[[1]]]]]":{}"#.to_owned(),
        1 => format!(r#""i:{n}":{{}}"#),
        2 => r#""f:a":{}"#.to_owned(),
        _ => r#""f:a":{"f:b":{}}"#.to_owned(),
    });
    let deep = format!("{}{{}}{}", r#"{"f:a":"#.repeat(500), "}".repeat(500));
    let value = format!(r#"{{"v:{}1{}":{{}}}}"#, "[".repeat(500), "]".repeat(500));
    let malformed = format!(r#"{{"f:a":{}}}"#, "[".repeat(400) + &"]".repeat(400));
    let mut shots = Vec::new();
    for (what, fields) in [
        ("a wide set", format!("{{{wide}}}")),
        ("a set of long keys", format!("{{{long}}}")),
        ("repeated members of a set", format!("{{{odd}}}")),
        ("a set 500 deep", deep),
        ("an element 500 deep", value),
        ("a malformed set", malformed),
    ] {
        shots.extend(with_entries(what, &entry("m", &fields)));
    }
    shots
}

fn managers() -> Vec<Shot> {
    let distinct = joined(MANAGERS, |n| {
        entry(&format!("m{n}"), r#"{"f:spec":{"f:data":{}}}"#)
    });
    let equal = joined(MANAGERS, |_| entry("m", r#"{"f:spec":{"f:data":{}}}"#));
    let mut shots = with_entries("10,000 managers", &distinct);
    shots.extend(with_entries("10,000 equal managers", &equal));
    shots
}

fn apply(path: &str, body: String) -> Request {
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}fieldManager=attacker");
    Request::send(Method::PATCH, path, APPLY, body)
}

fn lists() -> Vec<Shot> {
    let parts = |name: fn(usize) -> usize| {
        let items = joined(ITEMS, |n| {
            format!(r#"{{"name":"{}","value":"v"}}"#, name(n))
        });
        format!(r#"{{"parts":[{items}]}}"#)
    };
    let tags = |name: fn(usize) -> usize| {
        let items = joined(ITEMS, |n| format!(r#""{}""#, name(n)));
        format!(r#"{{"tags":[{items}]}}"#)
    };
    let maps = joined(ITEMS, |n| format!(r#""k{n}":{{"a":1}}"#));
    let wrong = joined(ITEMS, |n| format!(r#""k{n}":{{"a":"x"}}"#));
    let mut shots = Vec::new();
    // A configuration that does not conform to the schema is a plain 500 in kube-apiserver.
    for (what, spec, expect) in [
        ("an apply of items", parts(|n| n), Expect::Success),
        ("an apply of tags", tags(|n| n), Expect::Success),
        (
            "an apply of entries",
            format!(r#"{{"maps":{{{maps}}}}}"#),
            Expect::Success,
        ),
        (
            "an apply of equal items",
            parts(|_| 1),
            Expect::Exactly(500),
        ),
        ("an apply of equal tags", tags(|_| 1), Expect::Exactly(500)),
        (
            "an apply of wrong entries",
            format!(r#"{{"maps":{{{wrong}}}}}"#),
            Expect::Exactly(500),
        ),
    ] {
        let body = object("forms", seed::SMALL, "", &spec);
        let path = dry_small("forms", "");
        let request = apply(&format!("{path}&force=true"), body.clone());
        shots.push(Shot::new(what, request).expect(expect).largest(16 << 20));
        let request = apply(&path, body);
        shots.push(Shot::new(what, request).expect(expect).largest(16 << 20));
    }
    shots
}

fn conflicts() -> Vec<Shot> {
    let spec = |value: usize| {
        let fields = joined(CONFLICTS, |n| format!(r#""f{n}":{value}"#));
        format!("{{{fields}}}")
    };
    let path = kinds::collection(seed::NAMESPACE, "blobs");
    let owned = object("blobs", "owned", "", &spec(1));
    let body = object("blobs", "owned", "", &spec(2));
    let target = object_path("blobs").replace(seed::SMALL, "owned");
    let mut kubectl = apply(&format!("{target}?dryRun=All"), body.clone());
    kubectl.path = kubectl.path.replace("=attacker", "=kubectl");
    let applied = |query: &str| apply(&format!("{target}?dryRun=All{query}"), body.clone());
    vec![
        // 409 from the second round on.
        Shot::new(
            "the owner of 10,000 fields",
            Request::send(Method::POST, path, JSON, owned),
        )
        .copies(1),
        Shot::new("10,000 conflicts", applied(""))
            .expect(Expect::Exactly(409))
            .largest(16 << 20),
        Shot::new("10,000 conflicts of kubectl", kubectl)
            .expect(Expect::Exactly(409))
            .largest(16 << 20),
        Shot::new("10,000 forced conflicts", applied("&force=true"))
            .expect(Expect::Success)
            .largest(16 << 20),
    ]
}

fn depth() -> Vec<Shot> {
    let mut shots = Vec::new();
    for levels in [500, 9_000] {
        let value = format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let list = format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        for subresource in ["", "/status"] {
            for spec in [&value, &list] {
                let body = object("blobs", seed::SMALL, "", spec);
                let body = body.replace(
                    r#""spec":"#,
                    if subresource.is_empty() {
                        r#""spec":"#
                    } else {
                        r#""status":"#
                    },
                );
                let path = dry_small("blobs", subresource);
                let request = apply(&format!("{path}&force=true"), body);
                shots.push(Shot::new("a deep apply", request));
            }
        }
        let scale = format!(r#"{{"apiVersion":"autoscaling/v1","kind":"Scale","spec":{value}}}"#);
        let request = apply(&dry_small("forms", "/scale"), scale);
        // It does not conform to the schema of a Scale.
        shots.push(Shot::new("a deep Scale", request).expect(Expect::AnyResponse));
    }
    shots
}
