//! Requests whose cost grows with the square of their size.

use http::Method;

use super::requests::{JSON, JSON_PATCH, MERGE, dry, dry_small, every_way, joined, object};
use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::{kinds, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "quadratic/unknown-fields",
        "1.03 MB of unknown fields, each of which is a warning; the same under Strict, and repeated fields",
        unknown_fields,
    ),
    Attack::requests(
        "quadratic/finalizers",
        "0.83 MB of finalizers with bad names, and as many good ones",
        finalizers,
    ),
    Attack::requests(
        "quadratic/owners",
        "1.1 MB of distinct ownerReferences, and of equal ones",
        owners,
    ),
    Attack::requests(
        "quadratic/patch-index",
        "JSON patches of 9,000 inserts or removes at index 0 of 900,000 items",
        patch_index,
    ),
    Attack::requests(
        "quadratic/patch-work",
        "JSON patches that test, copy or move a large value thousands of times",
        patch_work,
    ),
    Attack::requests(
        "quadratic/empty",
        "900,000 empty finalizers and ownerReferences",
        empty,
    ),
    Attack::requests(
        "quadratic/accept",
        "Accept headers of up to 20,000 media ranges in ascending order",
        accept,
    ),
    Attack::requests(
        "quadratic/lists",
        "100,000 items of lists of type map and set, distinct and equal",
        lists,
    ),
    Attack::requests(
        "quadratic/maps",
        "100,000 labels, annotations, map entries and managedFields, in merge patches, too",
        maps,
    ),
    Attack::requests(
        "quadratic/branches",
        "lists of up to 900,000 items, validated by 60 branches of an anyOf",
        branches,
    ),
    Attack::requests(
        "quadratic/text",
        "megabytes of digits, escapes, and text for patterns and names",
        text,
    ),
];

fn post(plural: &str, metadata: &str, spec: &str) -> Request {
    Request::send(
        Method::POST,
        dry(plural),
        JSON,
        object(plural, "new", metadata, spec),
    )
}

fn branches() -> Vec<Shot> {
    let shots = [20_000, 900_000].into_iter().flat_map(|count| {
        let items = joined(count, |_| "\"\"".to_owned());
        let spec = format!(r#"{{"looks":[{items}]}}"#);
        every_way("items that match no branch", "forms", "", &spec)
    });
    shots.collect()
}

fn unknown_fields() -> Vec<Shot> {
    let fields = joined(85_000, |n| format!(r#""f{n:06}":0"#));
    let repeated = joined(170_000, |_| r#""c":0"#.to_owned());
    let mut shots = Vec::new();
    for validation in ["Warn", "Strict", "Ignore"] {
        for (what, fields) in [("unknown fields", &fields), ("repeated fields", &repeated)] {
            let mut request = post("forms", "", &format!("{{{fields}}}"));
            request.path += &format!("&fieldValidation={validation}");
            shots.push(Shot::new(what, request));
        }
        let mut request = Request::send(
            Method::PATCH,
            dry_small("forms", ""),
            MERGE,
            format!(r#"{{"spec":{{{fields}}}}}"#),
        );
        request.path += &format!("&fieldValidation={validation}");
        shots.push(Shot::new("unknown fields in a merge patch", request));
    }
    shots
}

fn finalizers() -> Vec<Shot> {
    let bad = joined(83_000, |n| format!(r#""!{n:06}""#));
    let good = joined(50_000, |n| format!(r#""a.example/{n:06}""#));
    let mut shots = every_way(
        "finalizers with bad names",
        "blobs",
        &format!(r#","finalizers":[{bad}]"#),
        "{}",
    );
    shots.push(Shot::new(
        "good finalizers",
        post("blobs", &format!(r#","finalizers":[{good}]"#), "{}"),
    ));
    let patch = format!(r#"{{"metadata":{{"finalizers":[{good}]}}}}"#);
    let patch = Request::send(Method::PATCH, dry_small("blobs", ""), MERGE, patch);
    shots.push(Shot::new("good finalizers in a merge patch", patch));
    shots
}

fn owners() -> Vec<Shot> {
    let owner =
        |n: usize| format!(r#"{{"apiVersion":"v1","kind":"K","name":"n{n:05}","uid":"u{n:05}"}}"#);
    let distinct = joined(17_700, owner);
    let equal = joined(17_700, |_| owner(0));
    let mut shots = every_way(
        "distinct owners",
        "blobs",
        &format!(r#","ownerReferences":[{distinct}]"#),
        "{}",
    );
    shots.push(Shot::new(
        "equal owners",
        post("blobs", &format!(r#","ownerReferences":[{equal}]"#), "{}"),
    ));
    shots
}

fn empty() -> Vec<Shot> {
    let texts = joined(900_000, |_| r#""""#.to_owned());
    let objects = joined(900_000, |_| "{}".to_owned());
    let embedded = joined(900, |_| {
        let owners = joined(1_000, |_| "{}".to_owned());
        format!(r#"{{"apiVersion":"v1","kind":"K","metadata":{{"ownerReferences":[{owners}]}}}}"#)
    });
    let mut shots = every_way(
        "empty finalizers",
        "blobs",
        &format!(r#","finalizers":[{texts}]"#),
        "{}",
    );
    shots.extend(every_way(
        "empty owners",
        "blobs",
        &format!(r#","ownerReferences":[{objects}]"#),
        "{}",
    ));
    shots.extend(every_way(
        "empty owners of embedded objects",
        "forms",
        "",
        &format!(r#"{{"embedded":[{embedded}]}}"#),
    ));
    shots
}

/// Read before authentication, and again for each form of a response.
fn accept() -> Vec<Shot> {
    let ranges = joined(20_000, |n| format!("a/b;q=0.{n:06}"));
    let parameters = format!("application/json{}", ";a=1".repeat(50_000));
    let list = dry("blobs");
    let list = list.split('?').next().unwrap_or_default().to_owned();
    let paths = [
        "/apis",
        "/openapi/v2",
        "/openapi/v3",
        "/version",
        "/nope",
        &list,
    ];
    let shots = paths.into_iter().flat_map(|path| {
        [&ranges, &parameters].map(|accept| {
            let header = format!("{accept},application/json;q=0.0001");
            Shot::new(
                "ascending ranges",
                Request::get(path).header("accept", header),
            )
        })
    });
    shots.collect()
}

/// Items of the patched list, few bytes each.
fn items(count: usize) -> String {
    joined(count, |_| "0".to_owned())
}

fn patch(path: &str, operations: &str) -> Request {
    Request::send(Method::PATCH, path, JSON_PATCH, format!("[{operations}]"))
}

fn patch_index() -> Vec<Shot> {
    let list = format!(
        r#"{{"op":"add","path":"/spec/items","value":[{}]}}"#,
        items(900_000)
    );
    let small = dry_small("blobs", "");
    [
        (
            "9,000 inserts at index 0",
            r#"{"op":"add","path":"/spec/items/0","value":0}"#,
        ),
        (
            "9,000 removes at index 0",
            r#"{"op":"remove","path":"/spec/items/0"}"#,
        ),
        (
            "9,000 moves to index 0",
            r#"{"op":"move","from":"/spec/items/899999","path":"/spec/items/0"}"#,
        ),
        (
            "9,000 copies to index 0",
            r#"{"op":"copy","from":"/spec/items/1","path":"/spec/items/0"}"#,
        ),
    ]
    .into_iter()
    .map(|(what, operation)| {
        let operations = joined(9_000, |_| operation.to_owned());
        Shot::new(what, patch(&small, &format!("{list},{operations}")))
    })
    .collect()
}

fn patch_work() -> Vec<Shot> {
    let small = dry_small("blobs", "");
    let value = format!("[{}]", items(250_000));
    let list = format!(
        r#"{{"op":"add","path":"/spec/a","value":{value}}},{{"op":"add","path":"/spec/b","value":{value}}}"#
    );
    let repeat = |count, operation: &str| joined(count, |_| operation.to_owned());
    let doubling = (0..40).map(|_| r#",{"op":"copy","from":"/spec/b","path":"/spec/a/-"},{"op":"copy","from":"/spec/a","path":"/spec/b/-"}"#);
    let doubling: String = doubling.collect();
    vec![
        Shot::new("9,000 copies of 250,000 items", patch(&small, &format!("{list},{}",
            repeat(9_000, r#"{"op":"copy","from":"/spec/a","path":"/spec/b"}"#)))),
        Shot::new("9,000 moves there and back", patch(&small, &format!("{list},{}",
            repeat(4_500, r#"{"op":"move","from":"/spec/a","path":"/spec/c"},{"op":"move","from":"/spec/c","path":"/spec/a"}"#)))),
        Shot::new("copies that double 80 times", patch(&small,
            &format!(r#"{{"op":"add","path":"/spec/a","value":[1]}},{{"op":"add","path":"/spec/b","value":[1]}}{doubling}"#)))
            .expect(Expect::Rejected),
        Shot::new("200,000 operations", patch(&small, &repeat(60_000, r#"{"op":"test","path":"/spec/x","value":1}"#))),
        Shot::new("9,000 tests of the whole object", patch(&small, &format!("{list},{}",
            repeat(9_000, r#"{"op":"test","path":"","value":{"spec":{}}}"#)))),
    ]
}

fn lists() -> Vec<Shot> {
    let part = |n: usize| format!(r#"{{"name":"n{n:06}"}}"#);
    let cases = [
        (
            "distinct entries of a map list",
            "parts",
            joined(100_000, part),
        ),
        (
            "equal entries of a map list",
            "parts",
            joined(100_000, |_| part(1)),
        ),
        (
            "distinct items of a set",
            "tags",
            joined(150_000, |n| format!(r#""t{n:06}""#)),
        ),
        (
            "equal items of a set",
            "tags",
            joined(150_000, |_| r#""t""#.to_owned()),
        ),
    ];
    let cases = cases.into_iter();
    cases
        .map(|(what, field, items)| {
            Shot::new(
                what,
                post("forms", "", &format!(r#"{{"{field}":[{items}]}}"#)),
            )
        })
        .collect()
}

fn maps() -> Vec<Shot> {
    let entries = joined(100_000, |n| format!(r#""k{n:06}":"v""#));
    let nulls = joined(150_000, |n| format!(r#""k{n:06}":null"#));
    let maps = joined(80_000, |n| format!(r#""k{n:06}":{{"a":1}}"#));
    let managers = joined(15_000, |n| {
        format!(
            r#"{{"manager":"m{n}","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{{"f:a":{{}}}},"time":"2026-01-01T00:00:00Z"}}"#
        )
    });
    let merge = |body: String| Request::send(Method::PATCH, dry_small("forms", ""), MERGE, body);
    vec![
        Shot::new(
            "100,000 labels",
            post("blobs", &format!(r#","labels":{{{entries}}}"#), "{}"),
        ),
        Shot::new(
            "annotations of more than 256 kB",
            post("blobs", &format!(r#","annotations":{{{entries}}}"#), "{}"),
        )
        .expect(Expect::Rejected),
        Shot::new(
            "80,000 entries of maps of maps",
            post("forms", "", &format!(r#"{{"maps":{{{maps}}}}}"#)),
        ),
        Shot::new(
            "15,000 managedFields",
            post("blobs", &format!(r#","managedFields":[{managers}]"#), "{}"),
        ),
        Shot::new(
            "a merge patch of nulls",
            merge(format!(r#"{{"metadata":{{"labels":{{{nulls}}}}}}}"#)),
        ),
        Shot::new(
            "a merge patch of labels",
            merge(format!(r#"{{"metadata":{{"labels":{{{entries}}}}}}}"#)),
        ),
    ]
}

fn text() -> Vec<Shot> {
    let blob =
        |what, value: String| Shot::new(what, post("blobs", "", &format!(r#"{{"v":{value}}}"#)));
    let digits = "9".repeat(2_900_000);
    let name = "a".repeat(2_900_000);
    let pattern = format!(r#"{{"patterns":["{}!"]}}"#, "a1".repeat(1_400_000));
    let collection = kinds::collection(seed::NAMESPACE, "blobs");
    vec![
        blob("an integer of 2.9 MB", digits.clone()),
        blob("a fraction of 2.9 MB", format!("0.{digits}")),
        blob("an exponent of 2.9 MB", format!("1e{digits}")),
        blob(
            "escapes of surrogates",
            format!(r#""{}""#, r"\ud83d\ude00".repeat(240_000)),
        ),
        blob(
            "halves of surrogates",
            format!(r#""{}""#, r"\ud83d".repeat(480_000)),
        ),
        Shot::new("text for a pattern", post("forms", "", &pattern)).expect(Expect::Rejected),
        Shot::new(
            "a name of 2.9 MB",
            Request::send(
                Method::POST,
                dry("blobs"),
                JSON,
                object("blobs", &name, "", "{}"),
            ),
        )
        .expect(Expect::Rejected),
        Shot::new(
            "a generateName of 2.9 MB",
            Request::send(
                Method::POST,
                dry("blobs"),
                JSON,
                format!(
                    r#"{{"apiVersion":"hostile.example.com/v1","kind":"Blob","metadata":{{"generateName":"{name}"}}}}"#
                ),
            ),
        ),
        Shot::new(
            "a name of 60 kB in the path",
            Request::get(format!("{collection}/{}", "a".repeat(60_000))),
        )
        .expect(Expect::Rejected),
    ]
}
