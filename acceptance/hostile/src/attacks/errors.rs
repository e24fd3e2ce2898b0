//! Many or long validation errors, and defaults that expand small input to large objects.

use http::Method;

use super::requests::{JSON, dry, dry_small, every_way, joined, object};
use super::{Attack, Expect, Shot};
use crate::client::Request;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "errors/controllers",
        "3,000 ownerReferences with controller: true, 216 kB",
        controllers,
    ),
    Attack::requests("errors/labels", "100,000 bad labels", labels),
    Attack::requests(
        "errors/overrides",
        "0.6 MB of empty overrides of Ark's Query",
        overrides,
    ),
    Attack::requests(
        "errors/enum",
        "20,000 wrong values of an enum of 2,000, in spec and in status",
        enumeration,
    ),
    Attack::requests(
        "errors/required",
        "20,000 items that lack 100 required fields each",
        required,
    ),
    Attack::requests(
        "errors/defaults",
        "100,000 items with 20 defaults of 1 kB each",
        defaults,
    ),
    Attack::requests(
        "errors/nested-defaults",
        "items whose default is a list of lists of lists",
        nested_defaults,
    ),
    Attack::requests(
        "errors/types",
        "100,000 values of the wrong type, pattern, format, range or variant",
        types,
    ),
    Attack::requests(
        "errors/long-values",
        "errors that repeat values of megabytes",
        long_values,
    ),
];

/// The fields by every kind of write. The server must reject each.
fn rejected(what: &'static str, plural: &str, metadata: &str, spec: &str) -> Vec<Shot> {
    let shots = every_way(what, plural, metadata, spec).into_iter();
    shots.map(|shot| shot.expect(Expect::Rejected)).collect()
}

fn controllers() -> Vec<Shot> {
    let owners = joined(3_000, |n| {
        format!(
            r#"{{"apiVersion":"v1","kind":"K","name":"n{n:04}","uid":"u{n:04}","controller":true}}"#
        )
    });
    rejected(
        "controllers",
        "blobs",
        &format!(r#","ownerReferences":[{owners}]"#),
        "{}",
    )
}

fn labels() -> Vec<Shot> {
    let labels = joined(100_000, |n| format!(r#""!{n:06}":"!""#));
    rejected(
        "bad labels",
        "blobs",
        &format!(r#","labels":{{{labels}}}"#),
        "{}",
    )
}

fn overrides() -> Vec<Shot> {
    let overrides = joined(200_000, |_| "{}".to_owned());
    let body = format!(
        r#"{{"apiVersion":"ark.mckinsey.com/v1alpha1","kind":"Query","metadata":{{"name":"new"}},"spec":{{"input":"a","overrides":[{overrides}]}}}}"#
    );
    let path = "/apis/ark.mckinsey.com/v1alpha1/namespaces/attack/queries?dryRun=All";
    let request = Request::send(Method::POST, path, JSON, body);
    vec![Shot::new("empty overrides", request).expect(Expect::Rejected)]
}

fn enumeration() -> Vec<Shot> {
    let choices = joined(20_000, |n| format!(r#""c{n}""#));
    let field = format!(r#"{{"choices":[{choices}]}}"#);
    let mut shots = rejected("wrong values of an enum", "forms", "", &field);
    let status = object("forms", "small", "", "{}");
    let status = status.trim_end_matches('}').to_owned() + &format!(r#"}},"status":{field}}}"#);
    let request = Request::send(Method::PUT, dry_small("forms", "/status"), JSON, status);
    shots.push(Shot::new("wrong values in status", request).expect(Expect::Rejected));
    shots
}

fn required() -> Vec<Shot> {
    let items = joined(20_000, |_| "{}".to_owned());
    rejected(
        "empty items",
        "forms",
        "",
        &format!(r#"{{"required":[{items}]}}"#),
    )
}

fn defaults() -> Vec<Shot> {
    let items = joined(100_000, |_| "{}".to_owned());
    rejected(
        "items with defaults",
        "forms",
        "",
        &format!(r#"{{"defaulted":[{items}]}}"#),
    )
}

/// Two bytes and a comma for each list; as many as fit the storage limit, and more.
fn nested_defaults() -> Vec<Shot> {
    let shots = [20_000, 100_000, 900_000].into_iter().flat_map(|count| {
        let items = joined(count, |_| "{}".to_owned());
        let spec = format!(r#"{{"nested":[{items}]}}"#);
        every_way("items with nested defaults", "forms", "", &spec)
    });
    shots.collect()
}

fn types() -> Vec<Shot> {
    let cases = [
        ("objects instead of text", "patterns", "{}"),
        ("text that does not match", "patterns", r#""!!!!!!!!!!""#),
        ("numbers out of range", "numbers", "-1"),
        ("text instead of numbers", "numbers", r#""a""#),
        ("no dates", "dates", r#""now""#),
        ("no variant", "variants", "{}"),
        ("entries without a key", "parts", "{}"),
        ("null items", "tags", "null"),
    ];
    let cases = cases.into_iter();
    cases
        .map(|(what, field, item)| {
            let items = joined(100_000, |_| item.to_owned());
            let spec = format!(r#"{{"{field}":[{items}]}}"#);
            let body = object("forms", "new", "", &spec);
            let request = Request::send(Method::POST, dry("forms"), JSON, body);
            Shot::new(what, request).expect(Expect::Rejected)
        })
        .collect()
}

fn long_values() -> Vec<Shot> {
    let long = "x".repeat(2_900_000);
    let post = |what, body: String| {
        let request = Request::send(Method::POST, dry("forms"), JSON, body);
        Shot::new(what, request).expect(Expect::Rejected)
    };
    vec![
        post(
            "a wrong value of 2.9 MB",
            object("forms", "new", "", &format!(r#"{{"choices":["{long}"]}}"#)),
        ),
        post(
            "a kind of 2.9 MB",
            object("forms", "new", "", "{}").replace("\"Form\"", &format!("\"{long}\"")),
        ),
        post(
            "an apiVersion of 2.9 MB",
            object("forms", "new", "", "{}").replace("hostile.example.com/v1", &long),
        ),
        post(
            "a number instead of spec, and 2.9 MB",
            object("forms", "new", "", &format!("\"{long}\"")),
        ),
        post(
            "a date of 2.9 MB",
            object(
                "forms",
                "new",
                &format!(r#","creationTimestamp":"{long}""#),
                "{}",
            ),
        ),
    ]
}
